"""A campaign on an endpoint: what was paid is not paid again, and its budget is kept there too."""

from dataclasses import replace

import pytest

from seirenes_app.services.redteam import campaign
from seirenes_app.services.redteam.execution import campaign_costs, run_campaign
from seirenes_app.services.redteam.material import kept_material
from seirenes_app.services.redteam.results import read_result
from seirenes_app.services.redteam.store import CampaignStore
from tests.helpers.openai_server import FakeServer
from tests.helpers.simulated_target import SimulatedTarget
from tests.seirenes_app.services.redteam.conftest import TRIGGERS, fails_on_cue
from training.endpoints import Endpoint, Price, save_endpoint
from training.errors import UserError


@pytest.fixture(autouse=True)
def own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")


class Killed(BaseException):
    """In the place of SIGKILL: nothing of the campaign handles it."""


def make(server, folder, requests=120):
    plan = campaign.CampaignPlan(
        f"{server.address}#m", writers=(TRIGGERS,), problems=campaign.ProblemChoice(count=24),
        budget=campaign.Budget(requests=requests),
    )  # fmt: skip
    paths = campaign.new_campaign(plan, folder)
    material = kept_material(paths, plan)
    target = SimulatedTarget([*material.screen, *material.confirm, *material.minimise], fails_on_cue)
    server.say = lambda body: target.text(body["messages"][-1]["content"])
    return paths


def test_no_request_is_paid_twice_though_the_process_dies_before_it_stores_the_replies(tmp_path, monkeypatch):
    commit = CampaignStore.commit
    with FakeServer() as server:
        paths = make(server, tmp_path)
        for die_at in (1, 2, 1):
            left = die_at

            def dying(store, chunk):
                nonlocal left
                left -= 1
                if left < 0:
                    raise Killed
                commit(store, chunk)

            monkeypatch.setattr(CampaignStore, "commit", dying)
            with pytest.raises(Killed):
                run_campaign(paths.root)
        monkeypatch.setattr(CampaignStore, "commit", commit)
        assert run_campaign(paths.root) == "finished"
        assert set(server.billed.values()) == {1}
        spent = read_result(paths).spent
        assert server.bills == spent.requests <= 120
        assert spent.cached > 0


def test_an_endpoint_that_fails_ends_the_campaign_and_stores_no_answer(tmp_path):
    with FakeServer() as server:
        paths = make(server, tmp_path)
        server.always = 401
        with pytest.raises(UserError, match="Resume the campaign"):
            run_campaign(paths.root)
        server.always = ""
        assert run_campaign(paths.root) == "finished"


def test_a_limit_of_money_needs_a_price(tmp_path):
    with FakeServer() as server:
        plan = campaign.CampaignPlan(f"{server.address}#m", writers=(TRIGGERS,), budget=campaign.Budget(money=1.0))
        paths = campaign.new_campaign(plan, tmp_path)
        with pytest.raises(UserError, match="has no price"):
            run_campaign(paths.root)


def test_what_an_endpoint_costs_is_known_before_the_start(tmp_path):
    priced = save_endpoint(Endpoint("priced", "http://127.0.0.1:9/v1", "m", Price(10.0, 30.0)))
    plan = campaign.CampaignPlan(priced.argument, budget=campaign.Budget(requests=1000))
    (cost,) = campaign_costs(plan)
    assert cost.requests == 1000
    assert 0 < cost.cost < cost.at_most
    (less,) = campaign_costs(replace(plan, budget=campaign.Budget(tokens=20_000)))
    assert less.requests < 200
    assert not campaign_costs(campaign.CampaignPlan("starter"))
