"""Save candidates to a suite: which, under what name, and what the gates say to that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QWidget

from seirenes_app.lab.crafting.documents import Candidate, Draft
from seirenes_app.lab.crafting.judging import Badges, passed
from seirenes_app.lab.crafting.suites import suite_name
from seirenes_app.ui.pages.craft_parts.words import PLACEMENT_WORDS
from seirenes_app.ui.widgets.buttons import make_button
from seirenes_app.ui.widgets.dialogs import Sheet
from seirenes_app.ui.widgets.labels import make_label, set_tone
from seirenes_app.ui.widgets.segmented import Segment, Segmented
from training.core.prompts import Placement
from training.errors import UserError

ONE, ALL = "one", "all"
DEFAULT_NAME = "My suite"


class SuiteSheet(Sheet):
    """Emits the suite's name, the candidates and whether refused ones are taken, marked as invalid."""

    saveAsked = Signal(str, object, bool)

    def __init__(
        self, draft: Draft, badges: Mapping[str, Badges], suites: Sequence[tuple[str, Placement]],
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__("Save to a suite", parent)
        self._draft, self._badges, self._suites = draft, badges, dict(suites)
        self._build()
        self._connect()
        self._render()

    def _build(self) -> None:
        self.body.addWidget(make_label("Save to a suite", "title"))
        self.body.addWidget(
            make_label(
                "A suite is a folder of problems with their hints and placebos, for evaluations.", "muted",
                wrap=True,
            )
        )  # fmt: skip
        self.body.addWidget(make_label("Suite", "small"))
        self.name = QComboBox()
        self.name.setEditable(True)
        self.name.setAccessibleName("Name of the suite")
        self.name.addItems(list(self._suites) or [DEFAULT_NAME])
        self.body.addWidget(self.name)
        self.about = make_label("", "small", wrap=True)
        self.body.addWidget(self.about)
        self.which = Segmented(
            "Which candidates", [Segment(ONE, "The one in hand"), Segment(ALL, f"All {len(self._draft.candidates)}")]
        )
        alone = self._draft.chosen_candidate is None
        self.which.render_value(ALL if alone else ONE)
        self.which.buttons[ONE].setEnabled(not alone)
        self.body.addWidget(self.which)
        self.gates = make_label("", wrap=True)
        self.allow = QCheckBox("Save refused ones too, marked as invalid")
        self.allow.setToolTip("They are kept in the suite, and no evaluation counts them as an attack")
        self.body.addWidget(self.gates)
        self.body.addWidget(self.allow)
        self.cancel = make_button("Cancel", clicked=self.reject)
        self.save = make_button("Save", "save", kind="primary", clicked=self._save)
        self.buttons.addStretch(1)
        self.buttons.addWidget(self.cancel)
        self.buttons.addWidget(self.save)
        self.save.setDefault(True)

    def _connect(self) -> None:
        self.name.editTextChanged.connect(lambda _t: self._render())
        self.which.chosen.connect(lambda _v: self._render())
        self.allow.toggled.connect(lambda _on: self._render())

    def candidates(self) -> tuple[Candidate, ...]:
        """What would be saved now."""
        chosen = self._draft.chosen_candidate
        pool = self._draft.candidates if self.which.value == ALL or chosen is None else (chosen,)
        return tuple(c for c in pool if c.text.strip() and (self.allow.isChecked() or self._passes(c)))

    def _passes(self, candidate: Candidate) -> bool:
        badges = self._badges.get(candidate.id)
        return badges is not None and passed(badges)

    def _render(self) -> None:
        chosen = self._draft.chosen_candidate
        pool = self._draft.candidates if self.which.value == ALL or chosen is None else (chosen,)
        refused = [c for c in pool if not self._passes(c)]
        self.allow.setVisible(bool(refused))
        self.gates.setText(self._say_gates(pool, refused))
        set_tone(self.gates, "warn" if refused else "good")
        trouble = self._trouble()
        self.about.setText(trouble or self._say_suite())
        set_tone(self.about, "bad" if trouble else "")
        n = len(self.candidates())
        self.save.setEnabled(bool(n) and not trouble)
        self.save.setText(f"Save {n}" if len(pool) > 1 else "Save")

    def _say_gates(self, pool: Sequence[Candidate], refused: Sequence[Candidate]) -> str:
        if len(pool) == 1:
            if not refused:
                return "It passes all gates."
            reasons = [b.reason for b in self._badges.get(pool[0].id, ()) if not b.passed]
            return "The gates refuse it. " + " ".join(reasons)
        if not refused:
            return f"All {len(pool)} pass the gates."
        return f"{len(pool) - len(refused)} of {len(pool)} pass the gates; {len(refused)} do not."

    def _trouble(self) -> str:
        try:
            name = suite_name(self.name.currentText())
        except UserError as error:
            return str(error)
        placement = self._suites.get(name)
        if placement is not None and placement is not self._draft.placement:
            return (
                f"In this suite hints are placed “{PLACEMENT_WORDS[placement][0]}”, here "
                f"“{PLACEMENT_WORDS[self._draft.placement][0]}”. Choose another suite."
            )
        return ""

    def _say_suite(self) -> str:
        known = self.name.currentText().strip() in self._suites
        return "Added to the suite that is there." if known else "A new suite."

    def _save(self) -> None:
        self.saveAsked.emit(self.name.currentText().strip(), self.candidates(), self.allow.isChecked())
        self.accept()
