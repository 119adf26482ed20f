"""Messages on a page: what happened, and what can be done about it; and the toast. Plain text.

The same message again changes nothing on the screen, so the keyboard stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QFrame, QPushButton, QWidget

from seirenes_app.ui.theme import SPACE_2, SPACE_3
from seirenes_app.ui.widgets.boxes import fill, row
from seirenes_app.ui.widgets.buttons import make_button, make_icon_button
from seirenes_app.ui.widgets.cards import Card
from seirenes_app.ui.widgets.labels import IconLabel, make_label, wrap_anywhere

LOG_LINE_CHARACTERS = 400


class BannerKind(StrEnum):
    """What a message is; sets icon and colour."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    ERROR = "error"


STYLES = {
    BannerKind.INFO: ("info", "accent", "true"),
    BannerKind.SUCCESS: ("check-circle", "good", "good"),
    BannerKind.WARNING: ("warning", "warn", "warn"),
    BannerKind.ERROR: ("error", "bad", "bad"),
}
"""Icon, its colour, and the card's style."""


@dataclass(frozen=True)
class BannerAction:
    """A button of a banner. Of two that are alike the button is kept and only the handler changes."""

    text: str
    do: Callable[[], object] = field(compare=False)
    icon: str = ""
    tip: str = ""
    primary: bool = False


class Banner(Card):
    """Hidden until `show_message`."""

    dismissed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.kind: BannerKind | None = None
        self.buttons: dict[str, QPushButton] = {}  # By text
        self._actions: tuple[BannerAction, ...] = ()
        self._icon = IconLabel("info", 20)
        self.title = make_label("", "heading", wrap=True)
        self.text = make_label("", wrap=True, select=True)
        self.close_button = make_icon_button("close", "Hide this message", clicked=self._on_dismissed)
        self.log = make_label("", "mono", wrap=True, select=True)
        self.log.setAccessibleName("Last lines of the log")
        for label in (self.title, self.text, self.log):
            wrap_anywhere(label)
        self.log_card = Card("flat", padding=SPACE_2)
        self.log_card.body.addWidget(self.log)
        self._row = row(None)
        head = row(self._icon, (self.title, 1), self.close_button, spacing=SPACE_3)
        fill(self.body, head, self.text, self.log_card, self._row)
        self.hide()

    def show_message(
        self,
        kind: BannerKind,
        title: str,
        text: str = "",
        *,
        log: Sequence[str] = (),
        actions: Sequence[BannerAction] = (),
        dismissable: bool = False,
    ) -> None:
        if kind is not self.kind:
            self._render_kind(kind)
        self.title.setText(title)
        self.text.setText(text)
        self.text.setVisible(bool(text))
        self.log.setText(
            "\n".join(line if len(line) <= LOG_LINE_CHARACTERS else f"{line[:LOG_LINE_CHARACTERS]}…" for line in log)
        )
        self.log_card.setVisible(bool(log))
        self.close_button.setVisible(dismissable)
        self.setAccessibleName(f"{title}. {text}".strip())
        self._render_actions(tuple(actions))
        self.show()

    def clear(self) -> None:
        self.hide()

    def _on_dismissed(self) -> None:
        self.hide()
        self.dismissed.emit()

    def _render_kind(self, kind: BannerKind) -> None:
        self.kind = kind
        icon, tone, style = STYLES[kind]
        self.setProperty("card", style)
        self.style().polish(self)
        self._icon.render_icon(icon, tone)

    def _render_actions(self, actions: tuple[BannerAction, ...]) -> None:
        alike, self._actions = actions == self._actions, actions
        if alike:
            return
        for old in self.buttons.values():
            self._row.removeWidget(old)
            old.hide()
            old.deleteLater()
        self.buttons = {}
        for place, action in enumerate(actions):
            button = make_button(
                action.text, action.icon, kind="primary" if action.primary else "", tip=action.tip,
                clicked=lambda at=place: self._actions[at].do(),
            )  # fmt: skip
            self.buttons[action.text] = button
            self._row.insertWidget(place, button)


MARGIN = 24


class Toast(QFrame):
    """One toast of a window; a new text replaces the old."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("toast")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._label = make_label()
        row(self._label, margins=(16, 10, 16, 10), parent=self)
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self.hide)
        parent.installEventFilter(self)
        self.hide()

    @property
    def text(self) -> str:
        """What is said now or was said last."""
        return self._label.text()

    def say(self, text: str, seconds: float = 4.0) -> None:
        self._label.setWordWrap(False)
        self._label.setText(text)
        if self._label.sizeHint().width() > self._max_width():
            self._label.setWordWrap(True)
            self._label.setFixedWidth(self._max_width())
        else:
            self._label.setMinimumWidth(0)
            self._label.setMaximumWidth(16_777_215)
        self.setAccessibleName(text)
        self._place()
        self.show()
        self.raise_()
        self._timer.start(round(1000 * seconds))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return False

    def _max_width(self) -> int:
        return min(680, self.parentWidget().width() - 4 * MARGIN)

    def _place(self) -> None:
        self.adjustSize()
        parent = self.parentWidget()
        self.move((parent.width() - self.width()) // 2, parent.height() - self.height() - 2 * MARGIN)
