"""Colours, type and spacing of the window, light and dark, and the one style sheet made from them.

Every text colour meets WCAG AA (4.5 : 1) on every surface it is put on; `tests/.../test_theme.py` holds it to that.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from string import Template

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QPalette
from PySide6.QtWidgets import QApplication, QStyleFactory

from seirenes_app.services.charts import style
from seirenes_app.services.charts.style import SANS_FAMILIES, Palette
from seirenes_app.store.resources import icon_path
from training.errors import UserError

SPACE_1, SPACE_2, SPACE_3, SPACE_4, SPACE_6, SPACE_8, SPACE_12 = 4, 8, 12, 16, 24, 32, 48
RADIUS = 8

MONO_FAMILIES = ("JetBrains Mono", "Noto Sans Mono", "Cascadia Mono", "SF Mono", "DejaVu Sans Mono")

SMALL_PX, BODY_PX, HEADING_PX, TITLE_PX, HERO_PX = 12, 14, 17, 24, 34


@dataclass(frozen=True)
class Theme(Palette):
    """The palette of charts and window, for painters."""

    def colour(self, name: str) -> QColor:
        return QColor(getattr(self, name))

    def wash(self, name: str, alpha: float = 0.12) -> QColor:
        """A named colour as a faint, see-through ground for badges and bands."""
        colour = QColor(getattr(self, name))
        colour.setAlphaF(alpha)
        return colour


LIGHT, DARK = Theme(**asdict(style.LIGHT)), Theme(**asdict(style.DARK))


class ThemeNotifier(QObject):
    """Emits `changed` for painters and icons."""

    changed = Signal(object)


_current = LIGHT
_notifier: ThemeNotifier | None = None


def current_theme() -> Theme:
    """The theme that was applied last."""
    return _current


def theme_notifier() -> ThemeNotifier:
    """The one object whose `changed(Theme)` follows `apply_theme`."""
    global _notifier
    if _notifier is None:
        _notifier = ThemeNotifier()
    return _notifier


def apply_theme(app: QApplication, mode: str) -> Theme:
    """Put style, palette, font and style sheet on `app`. `mode` is "light", "dark" or "system"."""
    global _current
    asked = mode == "system" and app.styleHints().colorScheme() == Qt.ColorScheme.Dark
    _current = theme = DARK if asked or mode == "dark" else LIGHT
    style = QStyleFactory.create("Fusion")
    if style is not None and app.style().objectName().lower() != "fusion":
        app.setStyle(style)
    # Qt takes five times as long to replace a style sheet as to remove it and set the next.
    app.setStyleSheet("")
    app.setFont(_font(SANS_FAMILIES, BODY_PX))
    app.setPalette(make_palette(theme))
    app.setStyleSheet(make_style_sheet(theme))
    theme_notifier().changed.emit(theme)
    return theme


def switch_theme(mode: str) -> None:
    """`apply_theme` on the application that runs."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    apply_theme(app, mode)


def mono_font(pixels: int = 13) -> QFont:
    """Fixed-width, for logs, paths and figures in columns."""
    font = _font(MONO_FAMILIES, pixels)
    font.setStyleHint(QFont.StyleHint.Monospace)
    return font


def _font(families: tuple[str, ...], pixels: int) -> QFont:
    installed = set(QFontDatabase.families())
    font = QFont()
    font.setFamilies([f for f in families if f in installed] or [font.family()])
    font.setPixelSize(pixels)
    return font


def sized_font(base: QFont, pixels: int, weight: QFont.Weight = QFont.Weight.Normal) -> QFont:
    font = QFont(base)
    font.setPixelSize(pixels)
    font.setWeight(weight)
    return font


def make_palette(theme: Theme) -> QPalette:
    """Qt's own roles from the tokens, so that what the style sheet leaves alone fits too."""
    palette = QPalette()
    roles = {
        QPalette.ColorRole.Window: theme.background, QPalette.ColorRole.WindowText: theme.text,
        QPalette.ColorRole.Base: theme.surface, QPalette.ColorRole.AlternateBase: theme.raised,
        QPalette.ColorRole.Text: theme.text, QPalette.ColorRole.Button: theme.surface,
        QPalette.ColorRole.ButtonText: theme.text, QPalette.ColorRole.BrightText: theme.bad,
        QPalette.ColorRole.ToolTipBase: theme.raised, QPalette.ColorRole.ToolTipText: theme.text,
        QPalette.ColorRole.Highlight: theme.accent, QPalette.ColorRole.HighlightedText: theme.accent_text,
        QPalette.ColorRole.Link: theme.accent, QPalette.ColorRole.LinkVisited: theme.adversary,
        QPalette.ColorRole.PlaceholderText: theme.muted, QPalette.ColorRole.Mid: theme.border,
        QPalette.ColorRole.Midlight: theme.grid, QPalette.ColorRole.Dark: theme.border,
        QPalette.ColorRole.Light: theme.raised, QPalette.ColorRole.Accent: theme.accent,
    }  # fmt: skip
    for role, colour in roles.items():
        palette.setColor(role, QColor(colour))
    for role in (QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText, QPalette.ColorRole.WindowText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(theme.muted))
    return palette


def make_style_sheet(theme: Theme) -> str:
    """The window's one style sheet. Labels choose type by the property `role`, buttons their weight by `kind`."""
    tokens = {name: getattr(theme, name) for name in theme.__dataclass_fields__ if name not in ("name", "dark")}
    sizes = {
        "body_px": BODY_PX, "small_px": SMALL_PX, "heading_px": HEADING_PX, "title_px": TITLE_PX, "hero_px": HERO_PX,
        "radius": RADIUS, "mono": ", ".join(f'"{f}"' for f in MONO_FAMILIES),
    }  # fmt: skip
    pictures = {
        "combo_arrow": _picture(theme, "QComboBox::down-arrow", "arrow"),
        "tick": _picture(theme, "QCheckBox::indicator:checked, QListView::indicator:checked", "tick"),
    }
    return _SHEET.substitute(tokens | sizes | pictures)


def _picture(theme: Theme, part: str, name: str) -> str:
    """A styled part loses Fusion's own drawing, and a style sheet takes another one only as a file."""
    try:
        file = icon_path(f"{name}-{theme.name}").as_posix()
    except UserError:
        return ""
    return f'{part} {{ image: url("{file}"); width: 16px; height: 16px; }}'


_SHEET = Template("""
QMainWindow, QDialog, QStackedWidget, Page { background: $background; }
QScrollArea, QScrollArea > QWidget > QWidget { background: transparent; border: none; }
QScrollArea[ring="true"] { border: 2px solid transparent; border-radius: ${radius}px; }
QScrollArea[ring="true"]:focus { border: 2px solid $accent; }
QLabel { background: transparent; }
QLabel[role="hero"] { font-size: ${hero_px}px; font-weight: 300; }
QLabel[role="title"] { font-size: ${title_px}px; font-weight: 400; }
QLabel[role="heading"] { font-size: ${heading_px}px; font-weight: 600; }
QLabel[role="strong"] { font-weight: 600; }
QLabel[role="figure"] { font-size: ${heading_px}px; font-weight: 500; }
QLabel[role="muted"] { color: $muted; }
QLabel[role="small"] { color: $muted; font-size: ${small_px}px; }
QLabel[role="eyebrow"] { color: $muted; font-size: ${small_px}px; font-weight: 600; }
QLabel[role="mono"] { font-family: $mono; font-size: 13px; }
QLabel[tone="good"] { color: $good; }
QLabel[tone="warn"] { color: $warn; }
QLabel[tone="bad"] { color: $bad; }

QFrame[card="true"] { background: $surface; border: 1px solid $border; border-radius: ${radius}px; }
QFrame[card="flat"] { background: $raised; border: none; border-radius: ${radius}px; }
QFrame[card="bad"] { background: $surface; border: 1px solid $border; border-left: 3px solid $bad;
  border-radius: ${radius}px; }
QFrame[card="warn"] { background: $surface; border: 1px solid $border; border-left: 3px solid $warn;
  border-radius: ${radius}px; }
QFrame[card="good"] { background: $surface; border: 1px solid $border; border-left: 3px solid $good;
  border-radius: ${radius}px; }
QFrame[strip="true"] { background: $surface; border: none; border-top: 1px solid $border; }
QFrame[line="true"] { background: $border; border: none; }

QPushButton, QToolButton[kind] { background: $surface; color: $text; border: 1px solid $border;
  border-radius: 6px; padding: 7px 14px; min-height: 18px; }
QPushButton:hover, QToolButton[kind]:hover { background: $raised; }
QPushButton:pressed, QToolButton[kind]:pressed { background: $grid; }
QPushButton:focus, QToolButton[kind]:focus { border: 2px solid $accent; padding: 6px 13px; }
QPushButton:disabled, QToolButton[kind]:disabled { color: $muted; background: transparent; border-color: $grid; }
QPushButton[kind="primary"] { background: $accent; color: $accent_text; border: 1px solid $accent; font-weight: 600; }
QPushButton[kind="primary"]:hover { background: $accent_hover; border-color: $accent_hover; }
QPushButton[kind="primary"]:focus { border: 2px solid $text; }
QPushButton[kind="primary"]:disabled { background: $raised; color: $muted; border-color: $raised; }
QPushButton[kind="quiet"], QToolButton[kind="quiet"] { background: transparent; border-color: transparent; }
QPushButton[kind="quiet"]:hover, QToolButton[kind="quiet"]:hover { background: $raised; }
QPushButton[kind="quiet"]:focus, QToolButton[kind="quiet"]:focus { border: 2px solid $accent; }
QPushButton[start="true"] { text-align: left; }
QToolButton[kind="quiet"] { padding: 7px 8px; }
QToolButton[kind="quiet"]:focus { padding: 6px 7px; }
QToolButton[kind="quiet"][tight="true"] { padding: 7px 6px; }
QToolButton[kind="quiet"][tight="true"]:focus { padding: 6px 5px; }
QPushButton[kind="quiet"]:disabled, QToolButton[kind="quiet"]:disabled { border-color: transparent; }
QPushButton[kind="danger"] { color: $bad; border-color: $bad; }
QPushButton[kind="danger"]:hover { background: $raised; }
QPushButton[kind="danger"]:focus { border: 2px solid $bad; }
QPushButton[kind="danger"]:disabled { color: $muted; border-color: $grid; }
QPushButton[dropdown="true"] { padding: 5px 10px; }
QPushButton[dropdown="true"]:focus { padding: 4px 9px; }
QPushButton[dropdown="true"][on="true"] { border-color: $accent; color: $accent; font-weight: 600; }
QPushButton::menu-indicator { image: none; width: 0; }
QPushButton[chip] { border-radius: 13px; padding: 3px 10px; min-height: 18px; font-size: ${small_px}px; }
QPushButton[chip]:focus { padding: 2px 9px; }
QPushButton[chip="true"] { background: $raised; }
QPushButton[chip="clear"] { background: transparent; border-color: transparent; }
QPushButton[chip="clear"]:hover { background: $raised; }
QPushButton[chip="clear"]:focus { border: 2px solid $accent; }
QPushButton[chip="true"]:hover { background: $grid; }
QPushButton[chip="pick"] { padding: 3px 7px; border-color: transparent; background: transparent; }
QPushButton[chip="pick"]:hover { background: $raised; }
QPushButton[chip="pick"]:checked { background: $surface; border: 1px solid $accent; font-weight: 600; }
QPushButton[chip="pick"]:focus { border: 2px solid $accent; padding: 2px 6px; }
QPushButton[large="true"] { font-size: 15px; padding: 10px 20px; min-height: 22px; }
QPushButton[large="true"]:focus { padding: 9px 19px; }

QLineEdit, QSpinBox, QDoubleSpinBox, QComboBox, QPlainTextEdit, QTextEdit { background: $surface; color: $text;
  border: 1px solid $border; border-radius: 6px; padding: 5px 8px; selection-background-color: $accent;
  selection-color: $accent_text; }
QLineEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus, QPlainTextEdit:focus, QTextEdit:focus {
  border: 2px solid $accent; padding: 4px 7px; }
QLineEdit[title="true"] { background: transparent; border: 1px solid transparent; font-size: 20px; padding: 3px 6px; }
QLineEdit[title="true"]:hover { border: 1px solid $border; }
QLineEdit[title="true"]:focus { background: $surface; border: 2px solid $accent; padding: 2px 5px; }
QTextEdit[bare="true"] { background: transparent; border: none; border-radius: 0; padding: 0; }
QTextEdit[bare="true"]:focus { border: none; border-left: 2px solid $accent; padding: 0; }
QLineEdit:disabled, QSpinBox:disabled, QDoubleSpinBox:disabled, QComboBox:disabled { color: $muted;
  background: $raised; }
QAbstractSpinBox QLineEdit, QAbstractSpinBox QLineEdit:focus { background: transparent; border: none;
  padding: 0 0 0 6px; }
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button { width: 0; height: 0; border: none; }
QComboBox::drop-down { border: none; width: 26px; }
$combo_arrow
QComboBox QAbstractItemView { background: $surface; color: $text; border: 1px solid $border; outline: none;
  selection-background-color: $raised; selection-color: $text; }
QCheckBox, QRadioButton { background: transparent; spacing: 8px; padding: 3px; border: 2px solid transparent;
  border-radius: 6px; }
QCheckBox:focus, QRadioButton:focus { border-color: $accent; }
QCheckBox::indicator, QListView::indicator, QRadioButton::indicator { width: 16px; height: 16px; background: $surface;
  border: 1px solid $muted; }
QCheckBox::indicator, QListView::indicator { border-radius: 4px; }
QCheckBox::indicator:checked, QListView::indicator:checked { background: $accent; border-color: $accent; }
$tick
QCheckBox::indicator:checked:disabled { background: $placebo; border-color: $placebo; }
QRadioButton::indicator { border-radius: 9px; }
QRadioButton::indicator:checked { width: 8px; height: 8px; border: 5px solid $accent; }
QRadioButton::indicator:checked:disabled { border-color: $placebo; }

QProgressBar { background: $raised; border: none; border-radius: 3px; height: 6px; max-height: 6px;
  text-align: center; color: transparent; }
QProgressBar::chunk { background: $accent; border-radius: 3px; }
QProgressBar[tone="warn"]::chunk { background: $warn; }

QTableView, QListView, QTreeView { background: $surface; alternate-background-color: $surface;
  border: 1px solid $border; border-radius: ${radius}px; gridline-color: $grid; outline: none;
  selection-background-color: $raised; selection-color: $text; }
QListView[roomy="true"]::item { padding: 6px 8px; }
QTableView[roomy="true"]::item, QTableView[plain="true"]::item { padding: 0px 8px; border: none; }
QTableView[roomy="true"]::item:selected, QTableView[plain="true"]::item:selected { background: $raised; color: $text; }
QTableView:focus, QListView:focus, QTreeView:focus { border: 2px solid $accent; }
QTableView[plain="true"] { background: transparent; border: 2px solid transparent; }
QTableView[plain="true"]:focus { border: 2px solid $accent; }
QHeaderView { background: transparent; border: none; }
QHeaderView::section { background: transparent; color: $muted; border: none; border-bottom: 1px solid $border;
  padding: 6px 10px; font-size: ${small_px}px; font-weight: 600; }
QTableCornerButton::section, QAbstractScrollArea::corner { background: transparent; border: none; }

QTabWidget::pane { border: none; }
QTabBar::tab { background: transparent; color: $muted; padding: 8px 14px; border: none;
  border-bottom: 2px solid transparent; }
QTabBar::tab:selected { color: $text; border-bottom: 2px solid $accent; }
QTabBar::tab:hover { color: $text; }
QTabBar::tab:focus { color: $text; background: $raised; }

QMenuBar { background: $background; border-bottom: 1px solid $border; padding: 2px 6px; }
QMenuBar::item { background: transparent; padding: 5px 10px; border-radius: 5px; }
QMenuBar::item:selected { background: $raised; }
QMenu { background: $surface; border: 1px solid $border; padding: 5px; }
QMenu::item { padding: 6px 28px 6px 12px; border-radius: 5px; }
QMenu::item:selected { background: $raised; }
QMenu::item:disabled { color: $muted; }
QMenu::separator { height: 1px; background: $grid; margin: 5px 8px; }
QMenu::icon { padding-left: 8px; }
QStatusBar { background: $background; border-top: 1px solid $border; color: $muted; }
QStatusBar::item { border: none; }
QToolTip { background: $raised; color: $text; border: 1px solid $border; padding: 5px 8px; }

QScrollBar:vertical { background: transparent; width: 12px; margin: 2px; }
QScrollBar:horizontal { background: transparent; height: 12px; margin: 2px; }
QScrollBar::handle { background: $border; border-radius: 4px; min-height: 32px; min-width: 32px; }
QScrollBar::handle:hover { background: $muted; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QSplitter::handle { background: transparent; }

QWidget#sidebar { background: $surface; border-right: 1px solid $border; }
QToolButton[sidebar="true"] { background: transparent; border: 2px solid transparent; border-radius: ${radius}px;
  padding: 8px 10px; color: $muted; text-align: left; font-weight: 500; }
QToolButton[sidebar="true"]:hover { background: $raised; color: $text; }
QToolButton[sidebar="true"]:checked { background: $raised; color: $accent; font-weight: 600; }
QToolButton[sidebar="true"][ring="true"]:focus { border: 2px solid $accent; }
QFrame#palette { background: $surface; border: 1px solid $border; border-radius: 12px; }
QFrame#palette QLineEdit { border: none; border-bottom: 1px solid $border; border-radius: 0; font-size: 16px;
  padding: 14px 18px; background: transparent; }
QFrame#palette QListView { border: none; background: transparent; }
QFrame#toast { background: $text; border: none; border-radius: ${radius}px; }
QFrame#toast QLabel { color: $background; }
""")
