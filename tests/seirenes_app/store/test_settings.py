"""Facts about the settings file."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seirenes_app.store.settings import Settings, settings_path
from training.errors import UserError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def test_what_was_saved_is_loaded(tmp_path):
    settings = Settings(theme="dark", geometry="AAEC", last_page="train", last_run="a-run", detach=False, ask_cost=2.5,
                        ask_requests=50)  # fmt: skip
    settings.save(tmp_path / "deep" / "settings.json")
    assert Settings.load(tmp_path / "deep" / "settings.json") == settings


def test_a_first_start_has_the_defaults(tmp_path):
    assert Settings.load(tmp_path / "settings.json") == Settings()
    assert Settings().detach


def test_the_folder_is_chosen_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_CONFIG", str(tmp_path / "elsewhere"))
    Settings(theme="light").save()
    assert settings_path() == tmp_path / "elsewhere" / "settings.json"
    assert Settings.load().theme == "light"


def test_a_damaged_file_is_kept_aside_and_said_once(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text("{oops")
    with pytest.raises(UserError, match="damaged"):
        Settings.load(path)
    assert (tmp_path / "settings.json.broken").read_text() == "{oops"
    assert Settings.load(path) == Settings()


def test_a_folder_that_cannot_be_written_is_told_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be written"):
        Settings().save(tmp_path / "file" / "settings.json")


@given(st.dictionaries(st.sampled_from([*Settings.__dataclass_fields__, "later_field"]), JSON))
def test_any_object_gives_settings_of_the_right_types(found):
    settings = Settings.from_dict(json.loads(json.dumps(found)))
    for name, default in vars(Settings()).items():
        assert isinstance(getattr(settings, name), (type(default), int) if name == "ask_cost" else type(default)), name
    assert settings.ask_cost >= 0
    assert settings.ask_requests >= 0
    assert settings.theme in ("system", "light", "dark")
