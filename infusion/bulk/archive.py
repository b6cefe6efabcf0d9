"""A whole archive: what is finished stays, the rest is shared out, and other rules begin elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings

from infusion import audit
from infusion.answers import stored_reference
from infusion.bulk.parts import Part, cut, files_in
from infusion.bulk.work import Rules, note_of, work_on
from infusion.judgements import program_digest
from payers.models import Payer
from payers.selectors import policy_for

PLAN = "plan.json"
WAITING_PARTS = 2  # for each worker, so that none is ever without work


class Unfit(Exception):
    """Why nothing was calculated, in a sentence for the person who asked."""


def rules_now() -> Rules:
    """All that an answer rests on, and one digest of it."""
    policies = tuple((payer.slug, policy_for(payer)) for payer in Payer.objects.order_by("slug"))
    reference = stored_reference()
    rest_on = [
        program_digest(), reference.version, settings.INFUSION_DEFAULT_TIME_ZONE,
        [(slug, [layer.override_id or layer.name for layer in policy.layers]) for slug, policy in policies],
    ]  # fmt: skip
    return Rules(audit.digest(repr(rest_on)), policies, reference)


def planned(source: Path, folder: Path, rules: Rules, form: str, part_bytes: int) -> list[Part]:
    """The parts that are left to do. Raises Unfit where the folder holds something else's parts."""
    files = files_in(source)
    if not files:
        raise Unfit(f"{source} holds no .jsonl and no .parquet file.")
    plan = {
        "files": [[str(each), each.stat().st_size, each.stat().st_mtime_ns] for each in files],
        "part_bytes": part_bytes, "form": form, "rules": rules.digest,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / PLAN
    if not kept.exists():
        if any(folder.iterdir()):
            raise Unfit(f"{folder} is not empty. Name an empty folder, so that nothing is mixed.")
        kept.write_text(json.dumps(plan), encoding="utf-8")
    elif differing := [name for name, value in json.loads(kept.read_text()).items() if plan[name] != value]:
        raise Unfit(
            f"{folder} holds parts that were answered with other {', '.join(differing)}. "
            "Name an empty folder, so that nothing is mixed."
        )
    return [part for part in cut(files, part_bytes) if not note_of(folder, part).exists()]


def worked(
    parts: Sequence[Part], rules: Rules, folder: Path, form: str, client: Any = None
) -> Iterator[dict[str, Any]]:
    """What each part came to, as it is finished; here where there is no cluster."""
    if client is None:
        yield from (work_on(part, rules, str(folder), form) for part in parts)
        return
    from distributed import as_completed

    left = iter(parts)

    def ask(part: Part) -> Any:
        return client.submit(work_on, part, rules, str(folder), form, pure=False)

    width = max(1, sum(client.nthreads().values())) * WAITING_PARTS
    running = as_completed([ask(part) for part in islice(left, width)])
    for future in running:
        yield future.result()
        for part in islice(left, 1):
            running.add(ask(part))


@contextmanager
def cluster(workers: int, scheduler: str) -> Iterator[Any]:
    """A client of the scheduler that is named, or of one of this machine with so many workers; None for none."""
    if not workers and not scheduler:
        yield None
        return
    try:
        import dask

        dask.config.set({"logging.distributed": "warning"})
        from distributed import Client, LocalCluster
    except ImportError:
        raise Unfit(
            "Dask is not installed. Run pip install -r requirements-archive.txt, or leave out --workers and "
            "--scheduler to calculate in this process."
        ) from None
    if scheduler:
        with closing(Client(scheduler)) as client:
            yield client
        return
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as local,
        Client(local) as client,
    ):
        yield client


def summed(folder: Path) -> tuple[int, bool]:
    """How many encounters all finished parts have, and whether each line was one."""
    notes = [json.loads(path.read_text()) for path in sorted(folder.glob("part-*.json"))]
    return sum(each["encounters"] for each in notes), all(each["readable"] for each in notes)
