"""One whole campaign on a simulated target, for all tests that only read it."""

import pytest

from seirenes_app.services.redteam import campaign
from seirenes_app.services.redteam.execution import run_campaign
from seirenes_app.services.redteam.material import kept_material
from seirenes_app.services.redteam.results import read_result
from tests.helpers.simulated_target import SimulatedTarget, opens

CUE = "double"
TRIGGERS = campaign.WriterSpec(campaign.WriterKind.TRIGGERS)


def make(folder, requests=900, count=100, **named):
    plan = campaign.CampaignPlan(
        "simulated", writers=(TRIGGERS,), problems=campaign.ProblemChoice(count=count),
        budget=campaign.Budget(requests=requests), **named,
    )  # fmt: skip
    paths = campaign.new_campaign(plan, folder)
    return paths, campaign.read_plan(paths)


def target_of(paths, plan, accuracy):
    material = kept_material(paths, plan)
    return SimulatedTarget([*material.screen, *material.confirm, *material.minimise], accuracy)


def fails_on_cue(_problem, text):
    return 0.2 if CUE in text.casefold() else 0.95


@pytest.fixture(scope="session")
def found(tmp_path_factory):
    """Its folder, its target, and its result."""
    paths, plan = make(tmp_path_factory.mktemp("campaigns"))
    target = target_of(paths, plan, fails_on_cue)
    assert run_campaign(paths.root, open_with=opens(target)) == "finished"
    return paths, target, read_result(paths)
