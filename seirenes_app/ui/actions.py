"""Actions: each is declared once. Menus, context menus, tooltips, palette and the list of shortcuts are made from that.

A page declares its actions in its `actions.py`, which imports no widgets, so that the palette lists a page's actions
before the page is built:

    ACTIONS = (
        ActionSpec("traces.next-flip", "Next flip", "N", "flip-down", context=True),
        ActionSpec("traces.export", "Export…", "Ctrl+E", "export", tip="Write the rows that are listed to a file"),
    )

and binds them to handlers where it is built; keys are the ids without the part before the dot:

    self.actions_ = bind_actions(self, ACTIONS, {"next-flip": self.go_to_next_flip, "export": self.export},
                                 context_menu=self.table)
    self.actions_["export"].setEnabled(bool(rows))
    header.addWidget(action_button(self.actions_["export"]))      # widgets/buttons.py: text, icon, tooltip with the key

`window_actions.py` lists the specs of all pages. The page's owner enables and disables the bound actions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMainWindow, QWidget

from seirenes_app.ui.icons import set_icon

WINDOW = Qt.ShortcutContext.WindowShortcut
PAGE = Qt.ShortcutContext.WidgetWithChildrenShortcut
"""The keys work while the keyboard is anywhere in the owner."""
WIDGET = Qt.ShortcutContext.WidgetShortcut
"""The keys work while the owner itself has the keyboard: single letters in a table."""


@dataclass(frozen=True)
class ActionSpec:
    """One action of the window or of a page."""

    id: str
    """``craft.undo``: the page or the menu, a dot, a name."""
    title: str
    """As in a menu, with ``&`` before its access key."""
    shortcut: str = ""
    """Portable text; several are separated by ``"; "``."""
    icon: str = ""
    tip: str = ""
    """What it does, where the title does not say it. The tooltip adds the shortcut."""
    context: bool = False
    """Whether it is in the context menu of the widget that `bind_actions` names."""
    separated: bool = False
    """Whether a line is above it in its menu."""
    checkable: bool = False
    destructive: bool = False
    """Whether it ends or deletes something: the keyboard never comes to its button by itself."""
    seen_first: bool = False
    """Whether it runs only while its page is in view, as what starts a run: the palette else just shows the page."""

    @property
    def scope(self) -> str:
        """Page key or menu: what is before the dot."""
        return self.id.partition(".")[0]

    @property
    def name(self) -> str:
        return self.id.partition(".")[2]

    @property
    def group(self) -> str:
        """Heading in the palette and in the list of shortcuts."""
        return self.scope.replace("-", " ").capitalize()

    @property
    def keys(self) -> str:
        """The shortcuts as this desktop writes them."""
        return ", ".join(k.toString(QKeySequence.SequenceFormat.NativeText) for k in _sequences(self))


@dataclass(frozen=True)
class Command:
    """An entry of the palette: an action as declared and, where its owner is built, the bound one."""

    spec: ActionSpec
    action: QAction | None

    @property
    def text(self) -> str:
        """ "Run: Pause"."""
        return f"{self.spec.group}: {(self.action.text() if self.action else self.spec.title).replace('&', '')}"

    @property
    def enabled(self) -> bool:
        """Whether it can be run now; for a page that is not built yet this is known only there."""
        return self.action is None or self.action.isEnabled()


def bind_actions(
    owner: QWidget,
    specs: Iterable[ActionSpec],
    handlers: Mapping[str, Callable[[], object]],
    *,
    keys: Qt.ShortcutContext = PAGE,
    context_menu: QWidget | None = None,
) -> dict[str, QAction]:
    """The actions by name, on `owner`. Every spec needs a handler and every handler a spec.

    Specs with `context` make the context menu of `context_menu`, which is the owner itself unless named.
    """
    specs = tuple(specs)
    if unbound := {spec.name for spec in specs} ^ handlers.keys():
        raise ValueError(f"Actions and handlers differ: {', '.join(sorted(unbound))}")
    bound: dict[str, QAction] = {}
    menu_owner = context_menu or owner
    for spec in specs:
        action = QAction(spec.title, owner)
        action.setObjectName(spec.id)
        action.setCheckable(spec.checkable)
        action.setShortcuts(_sequences(spec))
        action.setShortcutContext(keys)
        tip = spec.tip or spec.title.replace("&", "")
        action.setToolTip(f"{tip} ({spec.keys})" if spec.shortcut else tip)
        action.setProperty("destructive", spec.destructive)
        if spec.icon:
            set_icon(action, spec.icon, "muted")
            action.setProperty("icon_name", spec.icon)
        action.triggered.connect(lambda *_, do=handlers[spec.name]: do())
        owner.addAction(action)
        if spec.context:
            menu_owner.addAction(action)
            menu_owner.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        bound[spec.name] = action
    return bound


class ActionRegistry:
    """All declared actions of a window, whether their pages are built or not."""

    def __init__(
        self, window: QMainWindow, specs: Iterable[ActionSpec], pages: Iterable[str], show_page: Callable[[str], object]
    ) -> None:
        self._window, self._show_page, self._pages = window, show_page, frozenset(pages)
        self.specs = {spec.id: spec for spec in specs}

    def bound(self) -> dict[str, QAction]:
        return {a.objectName(): a for a in self._window.findChildren(QAction) if a.objectName() in self.specs}

    def commands(self) -> list[Command]:
        bound = self.bound()
        return [Command(spec, bound.get(id_)) for id_, spec in self.specs.items()]

    def trigger(self, id_: str) -> None:
        """Run an action; a page's action brings its page into view first, and builds it if need be."""
        spec, owner = self.specs[id_], self.bound().get(id_)
        if spec.scope in self._pages:
            was_seen = owner is not None and owner.parent().isVisible()
            self._show_page(spec.scope)
            if (spec.seen_first or spec.destructive) and not was_seen:
                return
        if (action := self.bound().get(id_)) is not None and action.isEnabled():
            action.trigger()

    def shortcuts(self) -> dict[str, list[tuple[str, str]]]:
        """Titles and keys by group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for spec in self.specs.values():
            if spec.shortcut:
                groups.setdefault(spec.group, []).append((spec.title.replace("&", ""), spec.keys))
        return groups


def _sequences(spec: ActionSpec) -> list[QKeySequence]:
    return QKeySequence.listFromString(spec.shortcut) if spec.shortcut else []
