"""The exact prompt of a folder and of its GGUF file is the same text with the same count of tokens."""

from seirenes_app.inference.models import bundled_model
from seirenes_app.services.exact_prompt import prompts_to_show, render_prompts
from training.core.types import HintType
from training.prompt_files import COMPACT, NEUTRAL, built_in


def test_folder_and_gguf_file_of_one_model_give_the_same_prompts():
    for name in (COMPACT, NEUTRAL):
        profile = built_in(name)
        wanted = prompts_to_show(profile, "How many? 12.", "Mind the gap.", HintType.CORRELATION_TRAP)
        assert [title for title, _ in wanted] == [
            "Reasoner, clean", "Reasoner, with a hint", "Adversary, correlation trap",
        ]  # fmt: skip
        folder = render_prompts("starter", wanted, profile)
        file = render_prompts(str(bundled_model()), wanted, profile)
        assert [(p.title, p.text, p.n_tokens) for p in folder] == [(p.title, p.text, p.n_tokens) for p in file]
        assert all(p.n_tokens and p.text.endswith("<|assistant|>") for p in folder)
