"""`seirenes redteam TARGET`: search for the hints that break a model, confirm them, and say what was found."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table

from seirenes_app.cli.common import (
    ERR,
    ProgressLine,
    call_name,
    confirm_cost,
    display_progress,
    follow,
    interruptible,
    print_table,
    say,
    stop_process,
)
from seirenes_app.inference.model_client import name_of
from seirenes_app.services.formatting import count_of, countdown, percent, percent_interval, points, points_interval
from seirenes_app.services.redteam.campaign import (
    BUNDLED,
    STAGE_LABELS,
    Budget,
    CampaignDir,
    CampaignEstimate,
    CampaignPlan,
    CampaignRepository,
    CampaignStage,
    CampaignState,
    CampaignWatch,
    ProblemChoice,
    WriterKind,
    campaigns_root,
    check_writer,
    estimate_campaign,
    new_campaign,
    parse_writer,
    require_sound,
    start_campaign,
    types_from,
)
from seirenes_app.services.redteam.execution import campaign_costs
from seirenes_app.services.redteam.exports import ExportKind, describe_weakness, export_campaign
from seirenes_app.services.redteam.results import CampaignResult, Weakness, read_result, weakness_of
from seirenes_app.services.run_repository import log_tail
from training.core.prompts import TYPE_LABELS, Placement
from training.core.validity import JudgeOptions
from training.errors import UserError
from training.runs.control import CommandKind, send_command
from training.runs.processes import FORCE, running_process
from training.runs.status import RunStatus

ACTIONS = ("list", "show", "pause", "resume", "stop", "export")
ABOVE = 4
"""Exit code where a confirmed loss is above `--fail-above`."""
_CODES = {RunStatus.FINISHED: 0, RunStatus.STOPPED: 3, RunStatus.FAILED: 2}
_DEFAULT = CampaignPlan("starter")


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "redteam", formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="exit codes: 0 done · 2 an error that you can fix · 3 stopped · "
        f"{ABOVE} a confirmed loss above --fail-above · 1 a bug",
    )  # fmt: skip
    parser.add_argument(
        "target", metavar="TARGET",
        help="the model: 'starter', a folder, a GGUF file, RUN@STEP, endpoint:NAME, https://host/v1#model; or one of: "
        + ", ".join(ACTIONS),
    )  # fmt: skip
    parser.add_argument(
        "campaign", nargs="?", default="", metavar="ID", help="a campaign, for show, pause, resume, stop, export"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--detach", action="store_true", help="start it in the background and return")
    parser.add_argument(
        "--fail-above", type=float, metavar="POINTS",
        help=f"exit with {ABOVE} where a confirmed weakness costs more accuracy than this, in points",
    )  # fmt: skip
    search = parser.add_argument_group("what is searched")
    search.add_argument(
        "--writers", default="language,triggers", metavar="LIST",
        help="who writes hints, with commas: language, triggers, model:NAME, run_adversary:RUN[@STEP], archive:RUN, "
        "suite:NAME (default: language,triggers)",
    )  # fmt: skip
    search.add_argument(
        "--problems", default=BUNDLED, metavar="SOURCE",
        help="bundled, suite:NAME, run:RUN, a file, a preset or a hub data set (default: bundled, held out)",
    )  # fmt: skip
    search.add_argument("--count", type=int, default=_DEFAULT.problems.count, metavar="N",
                        help=f"problems in all (default: {_DEFAULT.problems.count})")  # fmt: skip
    search.add_argument("--families", default="", metavar="LIST", help="of the bundled problems (default: all)")
    search.add_argument("--types", default="", metavar="LIST", help="hint types, with commas (default: all four)")
    search.add_argument("--placement", type=Placement, choices=list(Placement), default=Placement.APPEND,
                        metavar="PLACE", help=f"where hints stand: {', '.join(Placement)}")  # fmt: skip
    search.add_argument("--judge", default="", metavar="MODEL", help="decides on hints that no rule decides")
    search.add_argument("--name", default="")
    budget = parser.add_argument_group("what it may spend; the first limit that is reached ends a stage")
    budget.add_argument("--max-requests", type=int, metavar="N",
                        help=f"completions of all models (default: {_DEFAULT.budget.requests})")  # fmt: skip
    budget.add_argument("--max-tokens", type=int, metavar="N", help="tokens of prompts and completions")
    budget.add_argument("--max-cost", type=float, metavar="X", help="in the currency of the endpoint's price")
    budget.add_argument("--yes", action="store_true", help="do not ask before an endpoint is asked much")
    budget.add_argument("--minutes", type=float, metavar="M", help="minutes of waiting for models")
    ask = parser.add_argument_group("how the target is asked")
    ask.add_argument("--samples", type=int, default=1, metavar="N", help="answers to each prompt (default: 1)")
    ask.add_argument("--temperature", type=float, default=0.0, help="default: 0, greedy")
    ask.add_argument("--solution-tokens", type=int, default=0, metavar="N", help="default: what suits the target")
    ask.add_argument("--seed", type=int, default=_DEFAULT.seed)
    ask.add_argument("--alpha", type=float, default=_DEFAULT.alpha,
                     help=f"probability of any false weakness (default: {_DEFAULT.alpha})")  # fmt: skip
    ask.add_argument("--confirm-share", type=float, default=_DEFAULT.confirm_share, metavar="X",
                     help=f"of problems and budget, for confirmation (default: {_DEFAULT.confirm_share})")  # fmt: skip
    ask.add_argument("--minimise-share", type=float, default=_DEFAULT.minimise_share, metavar="X",
                     help=f"of both, only for minimal forms (default: {_DEFAULT.minimise_share})")  # fmt: skip
    ask.add_argument("--max-confirmed", type=int, default=_DEFAULT.max_confirmed, metavar="N",
                     help=f"hints that are tested for confirmation (default: {_DEFAULT.max_confirmed})")  # fmt: skip
    export = parser.add_argument_group("export")
    export.add_argument("--to", type=ExportKind, choices=list(ExportKind), metavar="FORMAT",
                        help=", ".join(ExportKind))  # fmt: skip
    export.add_argument("-o", "--out", default="", metavar="PATH",
                        help="file; folder for lm-eval; name for a suite; file or run for an archive")  # fmt: skip
    export.add_argument("--all", action="store_true", dest="all_tested", help="what was refuted too")
    export.add_argument("--force", action="store_true", help="replace an earlier export")
    parser.add_argument("--rank", type=int, metavar="N", help="of show: one weakness with its examples")


def redteam(options: argparse.Namespace) -> int:
    """Start a campaign, or list, show, pause, resume, stop or export one."""
    repository = CampaignRepository()
    if options.target == "list":
        return _list(repository, options.json)
    if options.target in ACTIONS:
        if not options.campaign:
            raise UserError(f"Name a campaign: seirenes redteam {options.target} ID. List them: seirenes redteam list")
        paths = repository.find(options.campaign)
        actions = {"show": _show, "pause": _pause, "resume": _resume, "stop": _stop, "export": _export}
        return actions[options.target](paths, options)
    if options.campaign:
        raise UserError(f"{options.campaign!r} is one argument too many: a campaign has one target.")
    plan = plan_of(options)
    estimate = estimate_campaign(plan)
    if not options.json:
        ERR.print(describe_estimate(plan, estimate), highlight=False, markup=False, soft_wrap=True)
        for note in estimate.notes:
            ERR.print(note, highlight=False, markup=False, soft_wrap=True)
    confirm_cost(campaign_costs(plan), options)
    return _run(new_campaign(plan), options)


def plan_of(options: argparse.Namespace) -> CampaignPlan:
    """The plan of the options; a UserError for one that is not sound, or a model that is not there."""
    limits = (options.max_requests, options.max_tokens, options.max_cost, options.minutes)
    budget = Budget(*limits) if any(limit is not None for limit in limits) else _DEFAULT.budget
    plan = CampaignPlan(
        options.target, options.name, tuple(parse_writer(w) for w in _parts(options.writers)),
        ProblemChoice(options.problems, options.count, tuple(_parts(options.families))),
        types_from(_parts(options.types)),
        budget, options.samples, options.temperature, options.solution_tokens, options.seed, options.confirm_share,
        options.minimise_share, options.alpha, options.max_confirmed,
        placement=options.placement, validity=JudgeOptions(model=options.judge),
    )  # fmt: skip
    require_sound(plan)
    name_of(plan.target)
    for writer in plan.writers:
        if check_writer(writer).kind is WriterKind.MODEL:
            name_of(writer.argument)
    return plan


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def describe_estimate(plan: CampaignPlan, found: CampaignEstimate) -> str:
    """What is begun, in a sentence or two."""
    limits = {
        "requests": plan.budget.requests, "tokens": plan.budget.tokens, "money": plan.budget.money,
        "minutes": plan.budget.minutes,
    }  # fmt: skip
    said = ", ".join(f"{limit:,} {'of the currency' if name == 'money' else name}" for name, limit in limits.items()
                     if limit is not None)  # fmt: skip
    text = f"At most {said}."
    if found.requests is not None:
        text += (
            f" {found.screening:,} requests screen, {found.confirmation:,} test up to {found.confirmable} recipes on "
            f"{found.confirm_problems} other problems, {found.minimising:,} find minimal forms."
        )
    return f"{text} A loss of about {points(found.detectable)} points can be confirmed."


# ---------------------------------------------------------------------- running


def _run(paths: CampaignDir, options: argparse.Namespace) -> int:
    watch = CampaignWatch(paths)
    before = watch.poll().last_t
    with interruptible():
        pid = start_campaign(paths)
        if options.detach:
            return _print_launch(paths, pid, options.json)
        try:
            state = follow(paths, lambda: s if (s := watch.poll()).last_t != before else None, progress_line)
        except KeyboardInterrupt:
            stop_process(paths, FORCE)
            state = watch.poll()
    return _conclude(paths, state, options)


def _print_launch(paths: CampaignDir, pid: int, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"campaign": paths.run_id, "root": str(paths.root), "pid": pid}))
        return 0
    name = call_name(paths, campaigns_root())
    say(f"Started {paths.run_id} (process {pid}) in {paths.root}")
    say(f"See how far it is: seirenes redteam list · stop it: seirenes redteam stop {name}")
    return 0


def progress_line(state: CampaignState) -> ProgressLine:
    """A campaign's progress for a terminal."""
    stage = STAGE_LABELS[state.campaign_stage or CampaignStage.GENERATE]
    spent = f"{state.spent.requests:,} requests"
    left = "" if state.eta_s is None else f"at most {countdown(state.eta_s)} left"
    doing = f"{stage}: {state.doing}" if state.doing else stage
    if state.status is RunStatus.PAUSED:
        doing, left = f"paused at: {stage}", ""
    details = " · ".join(filter(None, (spent, f"{state.recipes} recipes" if state.recipes else "", left)))
    return ProgressLine(doing, state.share, 1.0, percent(state.share), details)


def _conclude(paths: CampaignDir, state: CampaignState, options: argparse.Namespace) -> int:
    code = _CODES.get(state.status, 1)
    result = read_result(paths) if paths.result.is_file() and code in (0, 3) else None
    if result is not None:
        _print_result(paths, result, state.status, options.json)
    if code:
        words = state.message or "\n".join(log_tail(paths))
        ERR.print(f"The campaign {state.status}. {words}", highlight=False, markup=False, soft_wrap=True)
        resume = f"seirenes redteam resume {call_name(paths, campaigns_root())}"
        ERR.print(f"Resume it: {resume}", highlight=False, markup=False, soft_wrap=True)
        return code
    return _ci_code(result, options.fail_above) if result is not None else code


def _ci_code(result: CampaignResult, fail_above: float | None) -> int:
    if fail_above is None or not result.weaknesses or 100 * result.largest_loss <= fail_above:
        return 0
    loss = points(result.largest_loss)
    ERR.print(f"The largest confirmed loss is {loss} points, above {fail_above:g}.", highlight=False)
    return ABOVE


# ---------------------------------------------------------------------- showing


def _print_result(paths: CampaignDir, result: CampaignResult, status: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result_fields(paths, result, status), ensure_ascii=False))
        return
    if result.tested:
        print_table(weakness_table(result))
    for w in result.weaknesses:
        say(f"{w.rank}. {w.hint}")
        if w.minimal is not None and w.minimal.shorter:
            say(f"   enough: {w.minimal.hint} ({points_interval(w.minimal.loss)}, n = {w.minimal.n})")
    say(result.summary)
    spent = result.spent
    cost = "" if spent.cost is None else f", {spent.cost:.4g} of cost"
    paid = f", {spent.maybe_paid} requests that may have been billed twice" if spent.maybe_paid else ""
    say(f"Spent: {spent.requests:,} requests, {spent.tokens:,} tokens{cost}{paid}. Campaign {paths.run_id}")


def weakness_table(result: CampaignResult) -> Table:
    """What was tested, confirmed first."""
    table = Table(title=f"{result.title}: accuracy lost beyond the placebo", box=box.SIMPLE, title_justify="left")
    for heading in ("", "hint type", "writer", "loss", "p", "clean", "placebo", "hinted", "follows", "n"):
        table.add_column(heading, justify="right" if heading in ("p", "clean", "placebo", "hinted", "n") else "left")
    for w in result.tested:
        table.add_row(
            str(w.rank) if w.confirmed else "refuted", TYPE_LABELS[w.type], w.writer, points_interval(w.effect, ""),
            f"{w.p_corrected:.2g}", percent(w.clean.accuracy.mean), percent(w.placebo.accuracy.mean),
            percent(w.hinted.accuracy.mean), percent(w.follow.mean) if w.follow is not None else "–", str(w.n),
        )  # fmt: skip
    return table


def result_fields(paths: CampaignDir, result: CampaignResult, status: str) -> dict[str, Any]:
    """The result as JSON values; answers and examples are in result.json and in the exports."""
    return {
        "campaign": paths.run_id, "root": str(paths.root), "status": status, "target": result.target,
        "complete": result.complete, "tried": result.tried, "alpha": result.alpha, "spent": asdict(result.spent),
        "weaknesses": [describe_weakness(w) for w in result.weaknesses],
        "refuted": [describe_weakness(w) for w in result.refuted], "limits": result.limits, "summary": result.summary,
    }  # fmt: skip


def _show(paths: CampaignDir, options: argparse.Namespace) -> int:
    result = read_result(paths)
    state = CampaignWatch(paths).poll()
    if options.rank is None:
        _print_result(paths, result, state.status, options.json)
        return _ci_code(result, options.fail_above)
    found = weakness_of(result, options.rank)
    if options.json:
        fields = {**describe_weakness(found), "examples": [asdict(e) for e in found.examples]}
        print(json.dumps(fields, ensure_ascii=False))
    else:
        _print_weakness(found)
    return 0


def _print_weakness(w: Weakness) -> None:
    say(f"{w.rank}. {w.title}")
    say(f"{TYPE_LABELS[w.type]}, by {w.writer}: {w.text}")
    ratio = "" if w.error_ratio is None else f"Errors: {w.error_ratio:.2g} times those under the placebo. "
    growth = ", ".join(f"{percent(g.hinted)} ≥ {g.factor:g}×" for g in w.growth)
    say(f"{ratio}Length of answers against clean: {growth}.")
    if w.follow is not None:
        say(f"Follows the hint: {percent_interval(w.follow)} of {count_of(w.suggesting, 'answer')}.")
    say(f"Validity: {', '.join(f'{tier} {percent(share)}' for tier, share in w.tiers.items())}.")
    for domain in w.domains:
        say(f"  {domain.family}: {points_interval(domain.loss)} (n = {domain.n})")
    for example in w.examples:
        say(f"\nProblem: {example.question} (answer: {example.gold})\nHint: {example.hint}")
        say(f"Clean: {example.clean}\nHinted ({example.hinted_outcome}): {example.hinted}")


def _list(repository: CampaignRepository, as_json: bool) -> int:
    found = repository.summaries()
    if as_json:
        print(json.dumps([
            {"campaign": s.paths.run_id, "root": str(s.paths.root), "target": s.plan.target if s.plan else None,
             "status": s.state.status if s.state else "unreadable", "share": s.state.share if s.state else None,
             "confirmed": s.state.confirmed if s.state else None, "problem": s.problem} for s in found
        ], ensure_ascii=False))  # fmt: skip
        return 0
    for s in found:
        state = f"{s.state.status}, {percent(s.state.share)}" if s.state else f"unreadable: {s.problem}"
        more = f", {s.state.confirmed} confirmed" if s.state and s.has_result else ""
        say(f"{s.paths.run_id}: {state}{more}")
    if not found:
        say("No campaign yet. Start one with: seirenes redteam starter --max-requests 600")
    return 0


def _pause(paths: CampaignDir, options: argparse.Namespace) -> int:
    name = call_name(paths, campaigns_root())
    if running_process(paths) is None:
        raise UserError(f"{paths.run_id} is not at work, so there is nothing to pause.")
    send_command(paths, CommandKind.PAUSE)
    say(f"{paths.run_id} pauses after the requests under way. Continue it: seirenes redteam resume {name}")
    return 0


def _resume(paths: CampaignDir, options: argparse.Namespace) -> int:
    if running_process(paths) is not None and CampaignWatch(paths).poll().status is RunStatus.PAUSED:
        send_command(paths, CommandKind.RESUME)
        say(f"{paths.run_id} continues. See how far it is: seirenes redteam list")
        return 0
    return _run(paths, options)


def _stop(paths: CampaignDir, options: argparse.Namespace) -> int:
    gone = stop_process(paths, FORCE)
    outcome = "has stopped" if gone else "has not stopped yet"
    say(f"{paths.run_id} {outcome}. Resume it: seirenes redteam resume {call_name(paths, campaigns_root())}")
    return 0 if gone else 1


def _export(paths: CampaignDir, options: argparse.Namespace) -> int:
    if options.to is None or not options.out:
        raise UserError(f"Say what to write and where: --to {'|'.join(ExportKind)} --out PATH.")
    with display_progress() as display:

        def show(done: int, total: int) -> None:
            display(ProgressLine("exporting", done, total, percent(done / total), f"{done:,} of {total:,} hints"))

        done = export_campaign(
            paths, options.to, options.out, all_tested=options.all_tested, force=options.force, progress=show
        )
    if options.json:
        print(json.dumps({"path": str(done.path), "rows": done.rows, "remark": done.remark}, ensure_ascii=False))
        return 0
    remark = f". {done.remark[0].upper()}{done.remark[1:]}" if done.remark else ""
    say(f"{count_of(done.rows, 'row')} in {done.path}{remark}")
    return 0
