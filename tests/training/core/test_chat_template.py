import json
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import render_jinja_template

from training.core.chat_template import (
    ChatTemplate,
    NoteKind,
    RenderedPrompt,
    cut_special,
    describe_template,
    folder_template,
    is_markup,
    is_reasoning_tag,
)
from training.errors import UserError

USER = [{"role": "user", "content": "Hello"}]
SYSTEM = [{"role": "system", "content": "Be brief."}, *USER]
PLAIN = "User: Hello\nAssistant:"

CHATML = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
THINKING = (
    CHATML[: -len("{%- endif %}")]
    + "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)
NO_SYSTEM = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}{{ '<start_of_turn>' + m['role'] + '\n' + "
    "m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
FOLDS_ITSELF = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set first = messages[0].content ~ '\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set first = '' %}{% endif %}{% for m in messages %}[{{ m.role }}]"
    "{{ (first if loop.first else '') ~ m.content | trim }}{{ eos_token }}{% endfor %}"
)
DROPS_SYSTEM = "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}"
PARTS = (
    "{% for m in messages %}<{{ m.role }}>{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}"
    "{% endif %}{% endfor %}{% endfor %}"
)
STRUCTURED = (
    "{%- macro open(role) -%}<|{{ role }}|>{%- endmacro -%}{%- set ns = namespace(n=0, name='x') -%}"
    "{% for m in messages %}{% set ns.n = ns.n + 1 %}{{ open(m.role) }}{{ m['content'].strip() }}"
    "{%- if m.content.startswith('<tool_response>') %}(tool){% endif %}{{ '<|end|>' }}\n"
    "{% generation %}{{ loop.index ~ '/' ~ loop.length }}{% endgeneration %}{% if loop.last %}{% break %}{% endif %}"
    "{% endfor %}{{ {'n': ns.n, 'é': '<b>'} | tojson }}{{ ['a', 'b'] | join(',') | upper }}{{ '%s-%d' | format('a', 3) }}"
    "{{ '{}'.replace('{', '[') }}{{ messages | length }}{{ tools is none }}{{ documents is none }}"
)
TEMPLATES = {
    "chatml": CHATML, "thinking": THINKING, "no system": NO_SYSTEM, "folds itself": FOLDS_ITSELF,
    "drops system": DROPS_SYSTEM, "structured": STRUCTURED,
}  # fmt: skip
SPECIALS = {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.mark.parametrize("source", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize("variables", [{}, {"enable_thinking": False}, {"enable_thinking": True}], ids=str)
def test_what_is_rendered_is_what_transformers_renders(source, variables):
    chats = [
        USER,
        [*USER, {"role": "assistant", "content": " So. \n"}, {"role": "user", "content": "\n Why? <b>é</b> "}],
    ]
    if source not in (NO_SYSTEM, DROPS_SYSTEM):
        chats.append(SYSTEM)
    for chat in chats:
        (theirs,), _ = render_jinja_template(
            [chat], chat_template=source, add_generation_prompt=True, **SPECIALS, **variables
        )
        assert ChatTemplate(source, SPECIALS).render(chat, variables).text == theirs


def test_a_variable_that_is_none_is_left_to_the_template():
    template = ChatTemplate(THINKING)
    assert template.render(USER, {"enable_thinking": None}) == template.render(USER)
    assert template.render(USER, {"enable_thinking": False}).text.endswith("<think>\n\n</think>\n\n")


def test_variables_replace_neither_the_messages_nor_the_opening_of_the_answer():
    prompt = ChatTemplate(CHATML).render(USER, {"messages": [], "add_generation_prompt": False})
    assert prompt.text == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"


def test_a_template_without_a_system_role_gets_the_instructions_in_the_users_turn():
    template = ChatTemplate(NO_SYSTEM, SPECIALS)
    assert template.note.kind is NoteKind.NO_SYSTEM_ROLE
    assert "user's turn" in template.note.text
    assert template.render(SYSTEM).text == (
        "<s><start_of_turn>user\nBe brief.\n\nHello<end_of_turn>\n<start_of_turn>model\n"
    )


def test_a_system_text_that_the_template_silently_drops_is_written_in_the_users_turn():
    template = ChatTemplate(DROPS_SYSTEM)
    assert template.note.kind is NoteKind.NO_SYSTEM_ROLE
    assert template.render(SYSTEM).text == "<user>Be brief.\n\nHello"


@pytest.mark.parametrize("source", [CHATML, FOLDS_ITSELF, PARTS])
def test_a_sound_template_has_no_note(source):
    template = ChatTemplate(source, SPECIALS)
    assert not template.note
    assert "Be brief." in template.render(SYSTEM).text


def test_a_template_that_wants_content_in_parts_gets_parts():
    assert ChatTemplate(PARTS).render(SYSTEM).text == "<system>Be brief.<user>Hello"


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("", NoteKind.MISSING, "no chat template"),
        ("  \n", NoteKind.MISSING, "no chat template"),
        ("{% for %}", NoteKind.SYNTAX_ERROR, "line 1"),
        ("{% for m in messages %}", NoteKind.SYNTAX_ERROR, "syntax error"),
        ("{{ messages | to_yaml }}", NoteKind.UNKNOWN_FUNCTION, "to_yaml"),
        ("{{ get_tools() }}", NoteKind.UNKNOWN_FUNCTION, "get_tools"),
        ("{{ raise_exception('no users here') }}", NoteKind.REFUSES_ROLES, "no users here"),
        ("Hello!", NoteKind.FAILS, "leaves the user's text out"),
        ("{{ 1 / 0 }}", NoteKind.FAILS, "division"),
        ("{% include 'other' %}", NoteKind.FAILS, "another template"),
        ("{{ messages[0].__class__.__mro__ }}", NoteKind.FAILS, "unsafe"),
        ("{{ ''.__class__.__base__.__subclasses__()[0]() }}", NoteKind.FAILS, "unsafe"),
        ("{{ namespace(__class__=1) }}", NoteKind.FAILS, "__class__"),
        ("{{ messages.append(1) }}", NoteKind.FAILS, "unsafe"),
        ("{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}", NoteKind.FAILS, "recursive"),
    ],
)
def test_plain_lines_take_the_place_of_a_template_that_cannot_be_used_and_the_note_says_so(source, kind, words):
    template = ChatTemplate(source)
    assert template.note.kind is kind
    assert words in template.note.text
    assert "plain" in template.note.text
    assert template.render(USER).text == PLAIN
    assert template.render(SYSTEM).text == "System: Be brief.\n" + PLAIN
    assert template.stops == ("\nUser:",)


GROW = "{%% set ns = namespace(x=%s) %%}{%% for i in range(90) %%}%s{%% endfor %%}{{ ns.x }}{{ messages[0].content }}"


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}" + "a long text " * 99 + "{% endfor %}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        GROW % ("'a'", "{% set ns.x = ns.x ~ ns.x %}"),
        GROW % ("'a'", "{% set ns.x = ns.x + ns.x %}"),
        GROW % ("'a'", "{% set ns.x = ns.x * 2 %}"),
        GROW % ("'a'", "{% set ns.x = ns.x.join([ns.x, ns.x]) %}"),
        GROW % ("'a'", "{% set ns.x = [ns.x, ns.x] | join(ns.x) %}"),
        GROW % ("'a'", "{% set ns.x = ns.x.replace('a', ns.x ~ 'a') %}"),
        GROW % ("'a'", "{% set ns.x = ns.x | replace('a', ns.x ~ 'a') %}"),
        GROW % ("'a'", "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}"),
        GROW % ("[1]", "{% set ns.x = [ns.x, ns.x] %}"),
        GROW % ("[1]", "{% set ns.x = ns.x + ns.x %}"),
        GROW % ("10", "{% set ns.x = ns.x * ns.x %}"),
        GROW % ("10", "{% set ns.x = ns.x ** ns.x %}"),
        "{{ 'x' * 10**9 }}",
        "{{ [1] * 10**9 }}",
        "{{ 'x'.ljust(10**12) }}",
        "{{ 'x' | center(10**12) }}",
        "{{ 'x' | indent(10**12, true) }}",
        "{{ messages | tojson(indent=10**12) }}",
        "{{ '%999999999999d' % 1 }}",
        "{{ '%*d' % (999999999999, 1) }}",
        "{{ '%999999999999d' | format(1) }}",
        "{{ '{:>999999999999}'.format(1) }}",
        "{{ lipsum(n=10**9) }}",
        "{{ range(10**9) | list }}",
        "(" * 100_000,
        "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
        "x" * 2_000_000,
    ],
    ids=lambda s: s[:40],
)
def test_a_template_that_grows_or_loops_without_end_is_stopped_soon(source):
    started = time.process_time()
    template = ChatTemplate(source)
    assert time.process_time() - started < 10
    assert template.note
    assert template.render(USER).text == PLAIN


def test_a_long_conversation_is_within_the_limits():
    chat = [{"role": r, "content": "word " * 500} for _ in range(200) for r in ("user", "assistant")] + USER
    assert ChatTemplate(CHATML).render(chat).text.count("word") == 200_000


def test_messages_that_a_sound_template_refuses_are_an_error_with_its_words():
    with pytest.raises(UserError, match=r"refuses these messages .Roles must"):
        ChatTemplate(NO_SYSTEM).render([*USER, *USER])


# ---------------------------------------------------------------------- contents and special tokens


SPANNED = [ChatTemplate(source) for source in (CHATML, NO_SYSTEM, STRUCTURED, "")]


@given(st.lists(st.text(max_size=30), min_size=1, max_size=3), st.sampled_from(SPANNED))
def test_the_spans_are_where_the_contents_stand(contents, template):
    roles = ("user", "assistant", "user")
    chat = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    prompt = template.render(chat)
    found = [prompt.text[a:b].strip() for a, b in prompt.content_spans]
    assert [f for f in found if f] == [c.strip() for c in contents if c.strip()]


def test_a_content_that_the_template_looks_into_is_found_too():
    prompt = ChatTemplate(STRUCTURED).render([{"role": "user", "content": "<tool_response> 3 <|end|>"}])
    assert "(tool)" in prompt.text
    assert [prompt.text[a:b] for a, b in prompt.content_spans] == ["<tool_response> 3 <|end|>"]


MARKS = frozenset({"<|im_start|>", "<|im_end|>", "<think>", "</think>"})


def test_ordinary_text_is_read_in_one_piece():
    prompt = ChatTemplate(CHATML).render([{"role": "user", "content": "Is 3 < 4, and 5 > 4?"}])
    assert cut_special(prompt, MARKS) == [prompt.text]


@given(st.lists(st.sampled_from([*sorted(MARKS), "<|im_", "end|>", "<|im_start", "|>", "<", " ", "x"]), max_size=12))
def test_a_special_token_in_a_content_is_whole_in_no_piece(parts):
    content = "".join(parts)
    template = SPANNED[0]
    pieces = cut_special(template.render([{"role": "user", "content": content}]), MARKS)
    prompt = template.render([{"role": "user", "content": content}])
    assert "".join(pieces) == prompt.text
    own = template.render([{"role": "user", "content": "x"}]).text
    for mark in MARKS:
        assert sum(piece.count(mark) for piece in pieces) == own.count(mark)


def test_a_special_token_that_template_and_content_form_together_is_cut():
    prompt = RenderedPrompt("<<b>>", ((2, 3),))
    assert cut_special(prompt, frozenset({"<b>"})) == ["<<b>>"]
    prompt = RenderedPrompt("<b> x", ((1, 5),))
    assert cut_special(prompt, frozenset({"<b>"})) == ["<", "b> x"]


def test_markup_is_told_from_runs_of_spaces_and_words():
    assert all(map(is_markup, ("<think>", "</think>", "[INST]", "<|user|>", "<｜User｜>", "◁think▷")))
    assert not any(map(is_markup, ("  ", "\n\n", "<", "<>", "hello", "----")))


# ---------------------------------------------------------------------- the end of a turn


def test_the_end_of_an_assistants_turn_is_read_from_the_template():
    assert ChatTemplate(CHATML).end_of_turn(MARKS) == "<|im_end|>"
    assert ChatTemplate(NO_SYSTEM).end_of_turn({"<end_of_turn>", "<end"}) == "<end_of_turn>"
    assert ChatTemplate(CHATML).end_of_turn({"<other>"}) == ""
    assert ChatTemplate("").end_of_turn(MARKS) == ""


# ---------------------------------------------------------------------- folders


def write(folder, **files):
    for name, value in files.items():
        path = folder / name.replace("__", ".")
        path.write_text(value if isinstance(value, str) else json.dumps(value))
    return folder


def test_the_template_of_a_folder_is_in_any_of_three_files(tmp_path):
    named = [{"name": "tool_use", "template": "{{ no }}"}, {"name": "default", "template": CHATML}]
    for i, files in enumerate(
        [
            {"chat_template__jinja": CHATML, "tokenizer_config__json": {"chat_template": "{% old %}"}},
            {"tokenizer_config__json": {"chat_template": CHATML}},
            {"tokenizer_config__json": {"chat_template": named}},
            {"chat_template__json": {"chat_template": CHATML}},
        ]
    ):
        (tmp_path / str(i)).mkdir()
        folder = write(tmp_path / str(i), **files)
        assert not describe_template(folder)
        assert folder_template(folder).render(USER).text.startswith("<|im_start|>user")


def test_a_folder_names_its_special_tokens_in_two_forms(tmp_path):
    write(
        tmp_path,
        chat_template__jinja=FOLDS_ITSELF,
        tokenizer_config__json={"bos_token": {"content": "<s>"}},
        special_tokens_map__json={"eos_token": "</s>", "bos_token": "<old>"},
    )
    assert folder_template(tmp_path).render(USER).text == "<s>[user]Hello</s>"


def test_a_folder_without_a_readable_template_is_described_at_once(tmp_path):
    assert describe_template(tmp_path).kind is NoteKind.MISSING
    assert describe_template(tmp_path / "nowhere").kind is NoteKind.MISSING
    os.mkfifo(tmp_path / "chat_template.jinja")
    write(tmp_path, tokenizer_config__json="{ broken")
    (tmp_path / "chat_template.json").symlink_to("chat_template.json")
    assert describe_template(tmp_path).kind is NoteKind.MISSING


def test_reasoning_tags_are_told_from_other_special_tokens():
    assert all(map(is_reasoning_tag, ("<think>", "</think>", "[THINK]", "[/THINK]", "◁think▷")))
    assert not any(map(is_reasoning_tag, ("<|im_end|>", "</s>", "[INST]", "<think", "think", "")))
