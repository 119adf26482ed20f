"""The confirmed weaknesses of a campaign, asked of other models."""

from seirenes_app.services.hint_authoring.suites import suites_folder
from seirenes_app.services.transfer_request import TransferRequest, plan_transfer


def test_a_campaign_is_transferred_as_one_suite(found, tmp_path, monkeypatch):
    paths, _, _ = found
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    request = TransferRequest(str(paths.root), ("starter", "recorded@80"))
    first, again = plan_transfer(request), plan_transfer(request)
    assert first.suites == again.suites
    assert first.suites[0].problems > 0
    assert len(list(suites_folder().iterdir())) == 1
