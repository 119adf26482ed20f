"""Facts about colours, type and icons."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QPushButton

from seirenes_app.store.resources import resources_root
from seirenes_app.ui.icons import app_icon, icon, set_icon, size_icon
from seirenes_app.ui.theme import DARK, LIGHT, apply_theme, current_theme, theme_notifier
from seirenes_app.ui.widgets.badges import BROKEN, STATUS_STYLES
from training.runs.status import RunStatus

GROUNDS = ("background", "surface", "raised")
INKS = ("text", "muted", "accent", "clean", "hinted", "placebo", "adversary", "good", "warn", "bad")


def luminance(colour):
    """WCAG 2.2, relative luminance."""
    channels = [colour.redF(), colour.greenF(), colour.blueF()]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def mixed(ink, ground):
    """A see-through colour on its ground."""
    a = ink.alphaF()
    parts = [a * i + (1 - a) * g for i, g in zip(ink.getRgbF()[:3], ground.getRgbF()[:3], strict=True)]
    return QColor.fromRgbF(*parts)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda t: t.name)
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("ink", INKS)
def test_every_text_colour_is_readable_on_every_ground(theme, ground, ink):
    assert contrast(theme.colour(ink), theme.colour(ground)) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda t: t.name)
def test_text_on_the_accent_is_readable(theme):
    for ground in ("accent", "accent_hover"):
        assert contrast(theme.colour("accent_text"), theme.colour(ground)) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda t: t.name)
@pytest.mark.parametrize("style", [*STATUS_STYLES.values(), BROKEN], ids=lambda style: style.text)
def test_badges_are_readable_on_their_own_wash(theme, style):
    for ground in ("background", "surface"):
        assert contrast(theme.colour(style.tone), mixed(theme.wash(style.tone), theme.colour(ground))) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda t: t.name)
def test_the_focus_ring_stands_out_from_every_ground(theme):
    for ground in GROUNDS:
        assert contrast(theme.colour("accent"), theme.colour(ground)) >= 3


def test_every_status_has_a_word_and_an_icon_of_its_own():
    assert set(STATUS_STYLES) == set(RunStatus)
    assert len({style.text for style in STATUS_STYLES.values()}) == len(RunStatus)
    for style in STATUS_STYLES.values():
        assert (resources_root() / "icons" / f"{style.icon}.svg").is_file()


def test_applying_a_theme_changes_palette_and_tells_everyone(qapp, qtbot):
    with qtbot.waitSignal(theme_notifier().changed):
        apply_theme(qapp, "dark")
    assert current_theme() is DARK
    assert qapp.palette().color(QPalette.ColorRole.Window).name() == DARK.background
    apply_theme(qapp, "light")
    assert qapp.palette().color(QPalette.ColorRole.Window).name() == LIGHT.background
    assert qapp.style().objectName() in ("fusion", "")


def test_icons_follow_the_theme(qapp, qtbot):
    apply_theme(qapp, "light")
    button = QPushButton()
    qtbot.addWidget(button)
    set_icon(button, "stop")
    before = button.icon().pixmap(QSize(24, 24)).toImage()
    apply_theme(qapp, "dark")
    assert button.icon().pixmap(QSize(24, 24)).toImage() != before
    apply_theme(qapp, "light")


def test_an_icon_is_drawn_in_its_buttons_own_size(qapp, qtbot):
    button = QPushButton()
    qtbot.addWidget(button)
    button.setIconSize(QSize(26, 18))
    set_icon(button, "stop")
    assert [s.height() for s in button.icon().availableSizes()] == [round(18 * qapp.devicePixelRatio())]
    size_icon(button, 12, 12)
    assert [s.height() for s in button.icon().availableSizes()] == [round(12 * qapp.devicePixelRatio())]


def test_every_icon_draws_something_and_a_missing_one_nothing(qapp):
    for path in (resources_root() / "icons").glob("*.svg"):
        image = icon(path.stem).pixmap(QSize(24, 24)).toImage()
        assert any(image.pixelColor(x, y).alpha() for x in range(image.width()) for y in range(image.height())), (
            path.stem
        )
    missing = icon("no-such-icon").pixmap(QSize(24, 24)).toImage()
    assert missing.isNull() or missing.pixelColor(12, 12) == QColor(Qt.GlobalColor.transparent)
    assert not app_icon().isNull()
