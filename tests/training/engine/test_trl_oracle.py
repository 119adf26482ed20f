"""Loss, gradients and advantages beside TRL's GRPOTrainer: the same model, prompts, completions and rewards.

Runs where `trl` can be imported, which is in no environment that the project sets up.
"""

import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.helpers.tiny_models import save_model
from training.core.advantages import group_advantages
from training.core.types import Aggregation
from training.engine.base import LossParams, TrainRow
from training.engine.torch_local import LocalTorchBackend

pytest.importorskip("trl", reason="trl is not installed: the comparison with its GRPOTrainer is left out")

TOLERANCE = 1e-5
GENERATIONS, MAX_NEW = 4, 12
END = 1
PROMPTS = ([5, 40, 41, 42, 9], [6, 50, 7, 300, 11, 12, 13, 450])
REWARDS = (1.0, 0.0, 0.0, 1.0, 0.25, 1.0, 0.5, 0.0)
FLAT_REWARDS = (1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0)
LOSS_TYPES = {"dapo": Aggregation.TOKEN, "grpo": Aggregation.SEQUENCE, "dr_grpo": Aggregation.CONSTANT}


def fixed_completions():
    """Eight completions of 3 to 12 tokens; the third and the eighth are truncated, the others end with the end token."""
    generator = torch.Generator().manual_seed(3)
    made = [torch.randint(20, 600, (n,), generator=generator).tolist() for n in (2, 7, 12, 4, 9, 5, 3, 12)]
    return [ids if len(ids) == MAX_NEW else [*ids, END] for ids in made]


COMPLETIONS = fixed_completions()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    torch.set_num_threads(1)
    return save_model(tmp_path_factory.mktemp("oracle") / "model", "qwen3", "qwen2")


def move_weights(model):
    """Make the policy another model than its reference, the same way for each side."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)


class TrlSide:
    """A GRPOTrainer that is given its completions, and the batch it made of them."""

    def __init__(self, folder, out, *, loss_type, kl, temperature, scale, mask_truncated, rewards):
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer

        prompts = [list(p) for p in PROMPTS for _ in range(GENERATIONS)]

        def rollouts(texts, trainer):
            zeros = [[0.0] * len(ids) for ids in COMPLETIONS]
            return {"prompt_ids": prompts, "completion_ids": [list(c) for c in COMPLETIONS], "logprobs": zeros}

        config = GRPOConfig(
            output_dir=str(out), loss_type=loss_type, beta=kl, temperature=temperature, scale_rewards=scale,
            mask_truncated_completions=mask_truncated, num_generations=GENERATIONS, max_completion_length=MAX_NEW,
            per_device_train_batch_size=len(prompts), gradient_accumulation_steps=1, steps_per_generation=1,
            epsilon=0.2, epsilon_high=0.28, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[],
            # Our estimate is the plain k3. TRL can multiply it by the ratio, which moves its gradient.
            use_bias_correction_kl=False,
        )  # fmt: skip
        self.trainer = GRPOTrainer(
            AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
            lambda completions, **_: list(rewards),
            config,
            Dataset.from_dict({"prompt": ["a", "b"]}),
            processing_class=AutoTokenizer.from_pretrained(folder),
            rollout_func=rollouts,
        )
        self.trainer.current_gradient_accumulation_steps = 1
        self.trainer.model.train()
        move_weights(self.trainer.model)
        self.batch = self.trainer._generate_and_score_completions([{"prompt": "a"}] * len(prompts))
        self.advantages = self.batch["advantages"].tolist()

    def logprobs(self):
        """The policy's log-probabilities, one list a completion."""
        b = self.batch
        ids = torch.cat([b["prompt_ids"], b["completion_ids"]], 1)
        mask = torch.cat([b["prompt_mask"], (b["completion_ids"] != 2).long()], 1)
        with torch.no_grad():
            found = self.trainer._get_per_token_logps_and_entropies(
                self.trainer.model, ids, mask, b["completion_ids"].shape[1]
            )[0]  # fmt: skip
        return [row[: len(c)].tolist() for row, c in zip(found, COMPLETIONS, strict=True)]

    def loss_and_gradient(self, old=None):
        batch = dict(self.batch)
        if old is not None:
            width = batch["completion_ids"].shape[1]
            batch["old_per_token_logps"] = torch.tensor([row + [0.0] * (width - len(row)) for row in old])
        loss = self.trainer._compute_loss(self.trainer.model, batch)
        loss.backward()
        return loss.item(), gradient(self.trainer.model)


def gradient(model):
    return torch.cat([p.grad.flatten() for _, p in sorted(model.named_parameters()) if p.grad is not None])


def our_loss_and_gradient(folder, old, advantages, loss_params, keep):
    engine = LocalTorchBackend(folder, tuning="full", device="cpu", threads=1)
    move_weights(engine.model)
    prompts = [tuple(p) for p in PROMPTS for _ in range(GENERATIONS)]
    rows = [
        TrainRow(prompt, tuple(completion), tuple(logprobs), advantage, clip_low=0.2, clip_high=0.28)
        for prompt, completion, logprobs, advantage, kept in zip(
            prompts, COMPLETIONS, old, advantages, keep, strict=True
        )
        if kept
    ]
    stats = engine.forward_backward(rows, loss_params)
    return stats, gradient(engine.model)


def compare(folder, out, loss_type, *, kl=0.0, temperature=1.0, off_policy=0.0, truncated="count", rewards=REWARDS):
    """Assert that both sides agree; the share of tokens that was clipped, and of the rows (or tokens) that counted."""
    masked = truncated == "mask"
    theirs = TrlSide(folder, out, loss_type=loss_type, kl=kl, temperature=temperature, scale="none",
                     mask_truncated=masked, rewards=rewards)  # fmt: skip
    now = theirs.logprobs()
    old = [[x + (off_policy if i % 2 else -off_policy) for i, x in enumerate(row)] for row in now]
    loss, their_gradient = theirs.loss_and_gradient(old if off_policy else None)
    keep = [not masked or c[-1] == END for c in COMPLETIONS]
    params = LossParams(LOSS_TYPES[loss_type], kl, temperature, MAX_NEW, on_policy=not off_policy)
    stats, our_gradient = our_loss_and_gradient(folder, old, theirs.advantages, params, keep)
    # TRL divides by rows that add nothing to the loss, we by those that were trained.
    counted = [k and (a != 0 or kl > 0) for k, a in zip(keep, theirs.advantages, strict=True)]
    if loss_type == "dapo":
        sizes = [len(c) for c in COMPLETIONS]
        share = sum(n for n, c in zip(sizes, counted, strict=True) if c) / sum(
            n for n, k in zip(sizes, keep, strict=True) if k
        )
    else:
        share = sum(counted) / len(counted)
    gaps = abs(stats.loss * share - loss), float((our_gradient * share - their_gradient).abs().max())
    relative = float((our_gradient * share - their_gradient).norm() / their_gradient.norm())
    print(f"{loss_type}: loss {loss:+.6f} gap {gaps[0]:.1e}, gradient max gap {gaps[1]:.1e}, relative {relative:.1e}")
    assert max(*gaps, relative) <= TOLERANCE
    return stats, share


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_the_policy_gradient_equals_trl(model_dir, tmp_path, loss_type):
    _, share = compare(model_dir, tmp_path, loss_type)
    assert share == 1


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_clipping_and_kl_equal_trl(model_dir, tmp_path, loss_type):
    stats, _ = compare(model_dir, tmp_path, loss_type, kl=0.3, off_policy=0.3)
    assert 0.2 < stats.clip_fraction < 0.8
    assert stats.kl > 1e-4


def test_a_temperature_equals_trl(model_dir, tmp_path):
    compare(model_dir, tmp_path, "dapo", temperature=0.7, off_policy=0.1, kl=0.1)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_masked_truncated_rows_equal_trl_up_to_the_rows_divided_by(model_dir, tmp_path, loss_type):
    _, share = compare(model_dir, tmp_path, loss_type, truncated="mask")
    assert share == (1 if loss_type == "dapo" else 6 / 8)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_groups_without_spread_equal_trl_up_to_the_rows_divided_by(model_dir, tmp_path, loss_type):
    _, share = compare(model_dir, tmp_path, loss_type, rewards=FLAT_REWARDS)
    assert share < 1


@pytest.mark.parametrize("scale", ["none", "group"])
def test_advantages_equal_trl_up_to_the_kind_of_deviation(model_dir, tmp_path, scale):
    theirs = TrlSide(model_dir, tmp_path, loss_type="dapo", kl=0.0, temperature=1.0, scale=scale,
                     mask_truncated=False, rewards=REWARDS)  # fmt: skip
    ours = [a for g in (REWARDS[:GENERATIONS], REWARDS[GENERATIONS:]) for a in group_advantages(g, scale)]
    # TRL takes the deviation of a sample (n − 1), we that of the group (n), and it adds 1e-4 to it.
    factor = math.sqrt((GENERATIONS - 1) / GENERATIONS) if scale == "group" else 1.0
    tolerance = TOLERANCE if scale == "none" else 5e-4
    assert theirs.advantages == pytest.approx([a * factor for a in ours], abs=tolerance)
