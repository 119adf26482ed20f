"""The terms of the window, explained in plain words. Text only; `widgets.dialogs.GlossaryDialog` shows it."""

from __future__ import annotations

GLOSSARY = (
    ("Hint", "Text appended to a problem to mislead the model. A person, a template or a model writes it."),
    ("Hint type", "One of four kinds of hint, by what it does: from too much information to a false suggestion."),
    ("Placebo", "Neutral text of the hint's length in the hint's place. What a hint does beyond its placebo is its "
                "effect; any appended text has some."),
    ("Needed-text control", "The question is moved before the last sentence of the story, so that the text after it "
                            "must be used. A model that ignores everything after the question fails here."),
    ("Condition", "How a problem is asked: clean, with the hint, with the placebo."),
    ("Reasoner, Adversary", "The two roles of the one model that is trained: it solves problems, and it writes hints."),
    ("R1, clean stage", "The Reasoner solves the problem as it is. Problems it always or never solves teach little."),
    ("R2, hint stage", "The Adversary writes hints. It is rewarded for valid hints that make the Reasoner fail."),
    ("R3, hinted stage", "The Reasoner solves the problem with the hint. It is rewarded for the right answer."),
    ("Gate", "A rule that refuses a hint: one that states the answer, changes the problem, is too long, repeats "
             "itself or another hint."),
    ("Rollout", "One sampled completion with its reward."),
    ("Group", "The rollouts that share one prompt and role. An advantage is a reward relative to its group."),
    ("Outcome", "Right, wrong, unreadable (no answer was found in the text), ambiguous, truncated or timed out."),
    ("Flip", "A change of correctness between two conditions. Harmful: right when clean, wrong with the hint."),
    ("Suite", "A frozen, versioned set of problems and hints, so that models and checkpoints are asked the same."),
    ("Dataset", "An imported collection of problems with their answers."),
    ("Paired change", "Before and after on the same problems. It is called an improvement only where its interval "
                      "excludes zero."),
    ("Interval", "95 of 100 such intervals contain the true value. Fewer problems make it wider."),
    ("Cross-play", "Reasoners of some checkpoints against hints by others: do later ones withstand earlier hints?"),
    ("Checkpoint replay", "One problem solved again by every checkpoint of a run."),
    ("Sentence ablation", "The hint with one sentence left out at a time: which sentence does the harm."),
    ("Log-prob delta", "How much less, or more, likely each token of a right solution becomes when the hint is there."),
)  # fmt: skip
"""Term and explanation."""
