"""Facts about the rollout database: what is kept, what is asked of it, and how it is read while it grows."""

import os
import sqlite3
import threading
import time
from dataclasses import asdict

import pytest
import sqlite_utils
from helpers.rollout_runs import FAMILIES, ROWS_A_STEP, TYPES, make_row, make_step, write_rollouts
from hypothesis import example, given, settings
from hypothesis import strategies as st

from training.errors import UserError
from training.rollouts.database import FLIP_OF, PASSED, RolloutRow, RolloutWriter, migrations
from training.rollouts.reader import Cancelled, Flip, RolloutQuery, RolloutReader, Sort, flip_of, match_expression

STEPS = range(1, 8)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("db") / "rollouts.db"
    rows = write_rollouts(path, STEPS)
    reader = RolloutReader(path)
    yield path, rows, reader
    reader.close()


def write_old(path, rows):
    """The first schema, as runs made before flips were kept have it."""
    db = sqlite_utils.Database(path)
    migrations.apply(db, stop_before="keep_flips_and_counts")
    later = ("clean_accuracy", "flip", "tier", "reader", "placement")
    plain = [{k: v for k, v in asdict(row).items() if k not in later} for row in rows]
    db["rollouts"].insert_all({"id": i, **row} for i, row in enumerate(plain, 1))
    for step in sorted({row.step for row in rows}):
        db["steps"].insert({"step": step, "rows": sum(r.step == step for r in rows)})
    db.execute("INSERT INTO rollouts_fts(rollouts_fts) VALUES ('rebuild')")
    db.conn.commit()
    db.close()


# ---------------------------------------------------------------------- filters and orders


def expected(rows, query):
    """What the query asks for, in plain Python."""

    def wanted(r):
        gate = PASSED if r.gate is None else r.gate
        return (
            (query.steps is None or query.steps[0] <= r.step <= query.steps[1])
            and (not query.stages or r.stage in query.stages)
            and (not query.roles or r.role in query.roles)
            and (not query.types or r.hint_type in query.types)
            and (not query.families or r.family in query.families)
            and (not query.outcomes or r.outcome in query.outcomes)
            and (not query.gates or (r.stage == "r2_hint" and gate in query.gates))
            and (not query.flips or r.flip in query.flips)
            and (query.follows is None or r.follows_hint is query.follows)
            and all(word in f"{r.prompt} {r.completion} {r.hint}".lower().split() for word in query.text.split())
        )

    key = {
        Sort.TIME: lambda id_, r: 0, Sort.REWARD: lambda id_, r: r.reward, Sort.ADVANTAGE: lambda id_, r: r.advantage,
        Sort.TOKENS: lambda id_, r: r.tokens, Sort.LOGPROB: lambda id_, r: r.logprob_mean,
        Sort.CLEAN: lambda id_, r: -1.0 if r.clean_accuracy is None else r.clean_accuracy,
    }[query.sort]  # fmt: skip
    found = [id_ for id_, r in rows.items() if wanted(r)]
    if query.sort is Sort.TIME:
        return found[::-1] if query.descending else found
    found.sort(key=lambda id_: key(id_, rows[id_]), reverse=query.descending)
    if query.sort is Sort.CLEAN:
        found.sort(key=lambda id_: rows[id_].clean_accuracy is None)
    return found


def some(values):
    return st.lists(st.sampled_from(values), max_size=2, unique=True).map(tuple)


queries = st.builds(
    RolloutQuery,
    steps=st.none() | st.tuples(st.integers(-1, 9), st.integers(-1, 9)),
    stages=some(["r1_clean", "r2_hint", "r3_hinted", "r9"]), roles=some(["reasoner", "adversary"]), types=some(TYPES),
    families=some([*FAMILIES, "none of these"]), outcomes=some(["right", "wrong", "unparsable"]),
    gates=some([PASSED, "states_answer", "empty"]), flips=some([str(f) for f in Flip]), follows=st.sampled_from([None, None, True, False]),
    text=st.sampled_from(["", "", "", "table", "rosa apples", "pears", "absent"]), sort=st.sampled_from(list(Sort)), descending=st.booleans(),
)  # fmt: skip


@given(queries)
@settings(max_examples=250, deadline=None)
def test_any_query_finds_what_plain_python_finds_in_the_same_order(written, query):
    _, rows, reader = written
    wanted = expected(rows, query)
    assert list(reader.ids(query)) == wanted
    assert [r["id"] for r in reader.first_page(query, 7)] == wanted[:7]
    assert reader.count(query) == len(wanted)


def test_rows_come_in_the_order_of_their_ids_and_gone_ones_are_left_out(written):
    _, rows, reader = written
    found = reader.rows([5, 2, 9999, 5])
    assert [r["id"] for r in found] == [5, 2, 5]
    assert {k: v for k, v in found[1].items() if k != "id"} == asdict(rows[2])
    assert len(reader.rows(range(1, 2000))) == len(rows)
    assert reader.row(9999) is None


def test_facets_count_every_value_that_occurs(written):
    _, rows, reader = written
    facets = reader.facets()
    hints = [r for r in rows.values() if r.stage == "r2_hint"]
    assert facets.rows == len(rows)
    assert facets.steps == dict.fromkeys(STEPS, ROWS_A_STEP)
    assert facets.gates == {
        PASSED: sum(r.gate is None for r in hints),
        "states_answer": sum(r.gate is not None for r in hints),
    }
    assert sum(facets.flips.values()) == sum(r.flip is not None for r in rows.values())
    assert facets.follows[True] == sum(r.follows_hint is True for r in rows.values())
    assert set(facets.outcomes) == {"right", "wrong", "unparsable"}


# ---------------------------------------------------------------------- search


@given(st.text(max_size=60))
@example('"')
@example("NEAR(a b) OR NOT -x:y ^z {a} AND")
@example("apples\x00'; DROP TABLE rollouts; --")
@example("*** ### \ud800 ١٢ ﬁ ß")
@example("a " * 5000)
@example('"' * 999 + "a*" * 99)
@settings(max_examples=300, deadline=None)
def test_no_text_makes_a_search_raise(written, text):
    reader = written[2]
    reader.first_page(RolloutQuery(text=text), 3)
    reader.ids(RolloutQuery(text=text, sort=Sort.REWARD, families=("clock",)))


@given(
    st.lists(st.sampled_from("Rosa apples buys TABLE pears more 23 41 number zebra".split()), min_size=1, max_size=3)
)
@settings(max_examples=60, deadline=None)
def test_plain_words_find_what_like_finds(written, words):
    path, _, reader = written
    db = sqlite3.connect(path)
    # A word for LIKE is one between two characters that belong to none.
    padded = "' ' || replace(replace(replace(prompt || ' ' || completion || ' ' || coalesce(hint, ''), '.', ' '), '?', ' '), char(10), ' ') || ' '"
    like = " AND ".join(f"{padded} LIKE ?" for _ in words)
    wanted = [
        r[0] for r in db.execute(f"SELECT id FROM rollouts WHERE {like} ORDER BY id", [f"% {w} %" for w in words])
    ]
    db.close()
    assert list(reader.ids(RolloutQuery(text=" ".join(words)))) == wanted


@pytest.mark.parametrize(
    ("text", "finds"),
    [
        ("appl", False), ("appl*", True), ('"how many apples"', True), ('"many how"', False), ('"how many', True),
        ("naive", True), ("CAFÉ", True), ("1 + 1", True), ("= ####", False), ("*", False), ("   ", True),
    ],
)  # fmt: skip
def test_words_phrases_and_beginnings(written, text, finds):
    assert bool(written[2].first_page(RolloutQuery(text=text))) is finds


def test_signs_alone_are_nothing_to_search_for():
    assert match_expression('#### = "+" *') is None
    assert match_expression('12+3 "a b') == '"12+3" "a b"'


# ---------------------------------------------------------------------- flips


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("clean", [None, 0.0, 0.25, 0.5, 0.75, 1.0])
def test_a_flip_is_judged_alike_in_python_and_in_sql(right, clean):
    db = sqlite3.connect(":memory:")
    select = f"SELECT {FLIP_OF.format(clean='clean')} FROM (SELECT 'r3_hinted' AS stage, ? AS outcome, ? AS clean)"
    in_sql = db.execute(select, ["right" if right else "wrong", clean]).fetchone()[0]
    assert in_sql == flip_of(right, clean)
    if clean is not None:
        assert in_sql == {(False, True): "harmful", (True, False): "helpful"}.get((right, clean >= 0.5), "stable")


# ---------------------------------------------------------------------- pairs


def test_a_hinted_row_comes_with_its_clean_group_its_hint_and_its_siblings(written):
    _, rows, reader = written
    id_ = next(i for i, r in rows.items() if r.stage == "r3_hinted" and r.step == 3 and not r.archived)
    pair = reader.pair(id_)
    assert pair.hinted["id"] == id_
    assert [r["stage"] for r in pair.clean] == ["r1_clean"] * 2
    assert pair.hint["hint_id"] == pair.hinted["hint_id"]
    assert [r["id"] for r in pair.siblings] == [id_, id_ + 1]
    assert {r["step"] for r in (*pair.clean, pair.hint)} == {3}


def test_pairs_of_clean_rows_hints_and_replays_hold_what_there_is(written):
    _, rows, reader = written
    clean = reader.pair(1)
    assert (clean.hinted, clean.hint, clean.siblings, len(clean.clean)) == (None, None, (), 2)
    hint = next(i for i, r in rows.items() if r.stage == "r2_hint")
    assert reader.pair(hint).hint["id"] == hint
    assert reader.pair(hint).hinted["hint_id"] == rows[hint].hint_id
    replay = next(i for i, r in rows.items() if r.archived)
    assert (reader.pair(replay).clean, reader.pair(replay).hint) == ((), None)
    with pytest.raises(UserError, match="ids go from 1 to 126"):
        reader.pair(9999)


# ---------------------------------------------------------------------- old databases


def test_a_database_of_the_first_schema_answers_like_a_new_one(tmp_path, written):
    _, rows, new = written
    write_old(tmp_path / "old.db", list(rows.values()))
    old = RolloutReader(tmp_path / "old.db")
    for query in (
        RolloutQuery(flips=("harmful",)),
        RolloutQuery(sort=Sort.CLEAN, text="apples"),
        RolloutQuery(gates=(PASSED,)),
    ):
        assert old.ids(query) == new.ids(query)
    assert old.facets() == new.facets()
    assert old.rows(range(1, 200)) == new.rows(range(1, 200))
    assert old.pair(9) == new.pair(9)
    old.close()


def test_a_writer_gives_an_old_database_its_flips_and_counts(tmp_path, written):
    _, rows, new = written
    path = tmp_path / "old.db"
    kept = [r for r in rows.values() if r.step <= 5]
    write_old(path, kept)
    writer = RolloutWriter(path)
    for step in (6, 7):
        writer.add_step(make_step(step))
    writer.close()
    reader = RolloutReader(path)
    assert reader.rows(range(1, 200)) == new.rows(range(1, 200))
    assert reader.facets() == new.facets()
    assert reader.ids(RolloutQuery(text="table", flips=("helpful",))) == new.ids(
        RolloutQuery(text="table", flips=("helpful",))
    )
    reader.close()


# ---------------------------------------------------------------------- live, resumed, cancelled


def test_a_reader_sees_steps_as_they_are_written_and_forgets_dropped_ones(tmp_path):
    path = tmp_path / "rollouts.db"
    writer = RolloutWriter(path)
    writer.add_step(make_step(1))
    reader = RolloutReader(path)
    before = reader.version()
    assert reader.version() == before
    writer.add_step(make_step(2))
    assert reader.version() != before
    assert reader.newest_id() == 2 * ROWS_A_STEP
    writer.close()
    RolloutWriter(path, resume_from=1).close()
    assert reader.newest_id() == ROWS_A_STEP
    assert list(reader.ids(RolloutQuery())) == list(range(1, ROWS_A_STEP + 1))
    assert reader.facets().steps == {1: ROWS_A_STEP}
    assert sum(reader.facets().stages.values()) == ROWS_A_STEP
    assert reader.ids(RolloutQuery(text="apples", steps=(2, 2))).tolist() == []
    reader.close()


def test_a_step_in_two_parts_is_counted_whole(tmp_path):
    writer = RolloutWriter(tmp_path / "r.db")
    for _ in range(2):
        writer.add_step([make_row(1, "r1_clean", 3, None, True, 1.0, i) for i in range(3)])
    writer.close()
    reader = RolloutReader(tmp_path / "r.db")
    assert reader.count() == reader.facets().stages["r1_clean"] == 6
    reader.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Enough rows that an order of them takes a while."""
    path = tmp_path_factory.mktemp("large") / "rollouts.db"
    writer = RolloutWriter(path)
    for step in range(1, 9):
        writer.add_step([make_row(step, "r1_clean", i % 7, None, True, 1.0, i) for i in range(4000)])
    writer.close()
    return path


def test_a_cancelled_list_ends_and_the_reader_goes_on(large):
    reader = RolloutReader(large)
    with pytest.raises(Cancelled):
        reader.ids(RolloutQuery(sort=Sort.TOKENS), lambda: True)
    assert len(reader.ids(RolloutQuery(sort=Sort.TOKENS), lambda: False)) == 32_000
    reader.close()


def test_an_interrupt_ends_the_long_work_and_look_ups_do_not_wait_for_it(large):
    reader = RolloutReader(large)
    began, ended = threading.Event(), []

    def cancelled():
        began.set()
        time.sleep(0.01)
        return False

    def work():
        try:
            while True:
                reader.ids(RolloutQuery(sort=Sort.TOKENS), cancelled)
        except Cancelled:
            ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    assert began.wait(60)
    assert reader.row(7)["id"] == 7
    deadline = time.monotonic() + 60
    while not ended and time.monotonic() < deadline:
        reader.interrupt()
        time.sleep(0.005)
    thread.join(20)
    assert ended
    reader.close()
    with pytest.raises(Cancelled):
        reader.rows([1])
    reader.close()


# ---------------------------------------------------------------------- bad files


def test_a_run_without_rollouts_says_so(tmp_path):
    with pytest.raises(UserError, match="no rollouts yet"):
        RolloutReader(tmp_path / "rollouts.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(UserError, match="no rollouts yet"):
        RolloutReader(tmp_path / "empty.db")


@given(st.binary(min_size=600, max_size=900), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_damaged_file_is_told_in_words(tmp_path_factory, junk, headed):
    path = tmp_path_factory.mktemp("bad") / "rollouts.db"
    path.write_bytes((b"SQLite format 3\x00" if headed else b"") + junk)
    with pytest.raises(UserError, match=r"rollouts\.db"):
        RolloutReader(path)


def test_pages_lost_in_the_middle_are_told_in_words(tmp_path):
    path = tmp_path / "rollouts.db"
    write_rollouts(path, range(1, 60))
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    with pytest.raises(UserError, match="damaged"):
        reader = RolloutReader(path)
        reader.rows([1, 500])
        reader.ids(RolloutQuery(text="apples", sort=Sort.TOKENS))


def test_a_folder_that_may_not_be_written_is_read_all_the_same(tmp_path, written, monkeypatch):
    path = tmp_path / "rollouts.db"
    write_rollouts(path, STEPS)
    monkeypatch.setattr(os, "access", lambda *_: False)
    reader = RolloutReader(path)
    assert reader.ids(RolloutQuery(text="pears")) == written[2].ids(RolloutQuery(text="pears"))
    assert not path.with_name("rollouts.db-shm").exists()
    reader.close()


def test_a_finished_run_in_wal_mode_opens_after_its_writer_is_gone(tmp_path):
    write_rollouts(tmp_path / "rollouts.db", STEPS)
    assert not (tmp_path / "rollouts.db-wal").exists()
    reader = RolloutReader(tmp_path / "rollouts.db")
    assert reader.newest_id() == len(STEPS) * ROWS_A_STEP
    reader.close()


def test_a_reader_cannot_write(written):
    with pytest.raises(sqlite3.OperationalError):
        written[2]._quick.execute("DELETE FROM rollouts")


def test_every_column_of_a_row_is_kept(tmp_path):
    row = make_row(1, "r3_hinted", 2, "p2#0", False, 1.0, 1, completion="emoji 🙂 \x1b[31m ' \" \n", gate="x")
    writer = RolloutWriter(tmp_path / "r.db")
    writer.add_step([row])
    writer.close()
    reader = RolloutReader(tmp_path / "r.db")
    found = reader.row(1)
    assert RolloutRow(**{k: v for k, v in found.items() if k != "id"}) == row
    reader.close()
