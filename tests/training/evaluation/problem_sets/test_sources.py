"""Facts about reading rows: by content, with lines, and never a traceback on any bytes."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.errors import UserError
from training.evaluation.problem_sets import sources
from training.evaluation.problem_sets.importing import preview, read_problem_set
from training.evaluation.problem_sets.sources import open_file

GSM = {"question": "Ann has 48 / 2 eggs. How many?", "answer": "48/2=<<48/2=24>>24\n#### 24"}


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_file(path)


def rows(source):
    return [(r.number, r.line, dict(r.cells) or r.damage) for r in source.rows()]


def test_the_content_decides_and_not_the_name(tmp_path):
    lines = written(tmp_path / "a.txt", json.dumps(GSM) + "\n")
    array = written(tmp_path / "b.txt", json.dumps([GSM]))
    table = written(tmp_path / "c.txt", "question;answer\nWhy 1?;1\n")
    assert [s.format for s in (lines, array, table)] == ["JSON lines", "JSON", "CSV"]
    for source in (lines, array):
        (problem,) = read_problem_set(source).problems
        assert (problem.answer, problem.solution) == ("24", "48/2=24\n#### 24")


def test_lines_are_told_as_they_stand_in_the_file(tmp_path):
    source = written(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"a": 1}\n\n[2]\nno\n{"a": "\xff"}\n{"a": 3}')
    assert [(n, line) for n, line, _ in rows(source)] == [(1, 1), (2, 3), (3, 4), (4, 5), (5, 6)]
    assert "no object" in rows(source)[1][2]
    assert "not JSON" in rows(source)[2][2]
    assert "UTF-8" in rows(source)[3][2]
    assert source.place(list(source.rows())[-1]) == "a.jsonl, line 6"


def test_entries_of_an_array_have_the_lines_on_which_they_begin(tmp_path):
    source = written(tmp_path / "a.json", json.dumps([{"a": 1, "b": [1, 2]}, {"a": "x\ny"}, 7], indent=2))
    assert [(n, line) for n, line, _ in rows(source)] == [(1, 2), (2, 9), (3, 12)]


def test_an_array_is_read_in_pieces_with_the_same_rows(tmp_path, monkeypatch):
    entries = [{"n": n, "text": "é" * (n % 7)} for n in range(50)] + [{"n": 12345678}]
    source = written(tmp_path / "a.json", json.dumps(entries, indent=1, ensure_ascii=False))
    whole = rows(source)
    monkeypatch.setattr(sources, "_CHUNK", 5)
    assert rows(source) == whole
    assert [cells for _, _, cells in whole] == entries


@pytest.mark.parametrize("tail", ['{"a": 2', '{"a": 2} {"a": 3}]', "nope]", ""])
def test_damage_in_an_array_keeps_what_was_before_it(tmp_path, tail):
    found = rows(written(tmp_path / "a.json", '[{"a": 1},\n' + tail))
    assert found[0] == (1, 1, {"a": 1})
    assert "from here on it is not JSON" in found[-1][2]


def test_a_document_gives_the_only_list_that_it_holds(tmp_path):
    viewer = {"features": [1], "rows": [{"row_idx": 0, "row": GSM}], "num_rows_total": 1}
    assert rows(written(tmp_path / "a.json", json.dumps(viewer)))[0][2] == GSM
    assert rows(written(tmp_path / "b.json", json.dumps({"data": [GSM, GSM]}, indent=2)))[1][2] == GSM
    assert rows(written(tmp_path / "c.json", json.dumps(GSM, indent=2)))[0][2] == GSM


def test_a_row_of_a_table_has_its_line_and_too_many_cells_are_damage(tmp_path):
    table = 'question,answer\n"Two\nlines, how many?",2\n\nHow many, say, here?,3\nOne?,1\n'
    found = rows(written(tmp_path / "a.csv", table))
    assert [(n, line) for n, line, _ in found] == [(1, 2), (2, 5), (3, 6)]
    assert "4 cells" in found[1][2]


def test_two_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(UserError, match="line 1: two columns are called 'answer'"):
        rows(written(tmp_path / "a.csv", "question,answer,answer\nQ?,1,2\n"))


def test_parquet_streams_its_rows(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"question": [f"What is {n}?" for n in range(3000)], "answer": range(3000)}), path)
    done = read_problem_set(open_file(path))
    assert (done.report.format, len(done.problems), done.problems[-1].answer) == ("Parquet", 3000, "2999")


def test_a_number_is_written_out_before_it_is_compared(tmp_path):
    done = read_problem_set(
        written(tmp_path / "a.jsonl", '{"question": "Q?", "answer": 1e-07}\n{"question": "R?", "answer": 3.0}')
    )
    assert [p.answer for p in done.problems] == ["0.0000001", "3"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"  \n", "empty"), (b"\xff\xfea\x00", "UTF-16"), (b"PK\x03\x04xx", "Excel"), (b"\x1f\x8b\x08", "gzip"),
     (b"[1, 2", "not JSON"), (b"a,b\n1,2\n", "no question"), (b"[" * 9000, "not JSON"), (b"{}\n", "no question"),
     (b"PAR1xxxxPAR1", "Parquet")],
)  # fmt: skip
def test_what_is_no_file_of_problems_is_refused_in_words(tmp_path, content, words):
    with pytest.raises(UserError, match=words):
        read_problem_set(written(tmp_path / "bad.txt", content))


def test_missing_files_folders_and_false_parquet_are_refused(tmp_path):
    for path, words in ((tmp_path / "none.csv", "cannot be read"), (tmp_path, "is a folder")):
        with pytest.raises(UserError, match=words):
            open_file(path)
    with pytest.raises(UserError, match="no Parquet"):
        written(tmp_path / "a.parquet", "question,answer\n")


ENDINGS = (".jsonl", ".json", ".csv", ".parquet", ".txt", "")
PARTS = st.lists(
    st.sampled_from([b"{", b"}", b"[", b"]", b",", b'"question"', b'"answer"', b":", b'"', b"\n", b"1", b" ", b"####",
                     b"\\boxed{", b"\xff", b"\x00", b"\\ud800", b"NaN", b"1e999", b"question,answer\n", b'{"question": "Q',
                     b'"problem"', b"PAR1", b"\xef\xbb\xbf", b"null", b"[[", b"\r"]) | st.binary(max_size=6),
    max_size=40,
).map(b"".join)  # fmt: skip


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(PARTS, st.sampled_from(ENDINGS))
def test_any_bytes_are_problems_or_a_user_error(tmp_path, content, ending):
    path = tmp_path / f"any{ending}"
    path.write_bytes(content)
    try:
        source = open_file(path)
        seen = preview(source)
        done = read_problem_set(source)
    except UserError as error:
        told = str(error)
    else:
        told = str(path)
        check_whole(done)
        assert len(seen.rows) <= 5
    assert str(path) in told


def check_whole(done):
    report = done.report
    assert report.rows == report.imported + len(report.rejected)
    assert len({p.id for p in done.problems}) == len(done.problems)
    json.dumps([p.question for p in done.problems], ensure_ascii=False).encode()


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.data())
def test_a_damaged_parquet_file_is_problems_or_a_user_error(tmp_path, data):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"question": ["What is 1?", "What is 2?"], "answer": ["1", "2"]}), path)
    content = bytearray(path.read_bytes())
    for at in data.draw(st.lists(st.integers(4, len(content) - 1), max_size=4)):
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(4, len(content)))])
    try:
        check_whole(read_problem_set(open_file(path)))
    except UserError as error:
        told = str(error)
    else:
        told = str(path)
    assert str(path) in told


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda v: st.lists(v, max_size=3),
    max_leaves=4,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["question", "answer", "kind", "type", "id", "body", "solution"]), VALUE),
        max_size=6,
    )
)
def test_any_values_in_the_columns_are_imported_or_told(tmp_path, entries):
    path = tmp_path / "any.json"
    path.write_text(json.dumps(entries))
    try:
        report = read_problem_set(open_file(path)).report
    except UserError:
        return
    assert [r.row for r in report.rejected] == sorted(r.row for r in report.rejected)
    assert report.rows == len(entries) == report.imported + len(report.rejected)
