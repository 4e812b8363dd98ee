"""`bitfold regress`."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from ..model import places
from ..model.error import BadInput
from ..model.net import Net
from ..model.write import check_place
from ..sim.golden import Golden, Source, changes
from ..sim.shipped import shipped
from ..sim.simulate import ENGINES, check_options
from .arguments import (
    CacheOption,
    CyclesOption,
    DataOption,
    JsonOption,
    NetArgument,
    PlanOption,
    check_range,
    choose_plan,
    load_net,
)
from .images import Images, ImagesOption, SetOption, of_array, open_images, random_images
from .simulation import DaskOption, How, JobsOption, run
from .tell import err, out, tell

COUNT = 32
"""Random images, where nothing else is asked for."""


def regress(
    net: NetArgument,
    golden: Annotated[Path, typer.Option(metavar="FILE", help="The golden file, JSON.")],
    record: Annotated[bool, typer.Option("--record", help="Write the file, instead of checking against it.")] = False,
    images: ImagesOption = None,
    data_name: SetOption = None,
    data: DataOption = None,
    count: Annotated[
        int | None,
        typer.Option(metavar="N", help=f"To record: the first N of the set, or N random images; else {COUNT} random."),
    ] = None,
    seed: Annotated[int, typer.Option(help="To record: of the random images.")] = 0,
    plan: PlanOption = None,
    cycles: CyclesOption = None,
    verilog: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The files that bitfold verilog wrote there, with their plan.")
    ] = None,
    engine: Annotated[str, typer.Option(help=f"One of {', '.join(ENGINES)}.")] = ENGINES[0],
    jobs: JobsOption = None,
    dask: DaskOption = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold logits and cycles of the network's hardware against those recorded with an earlier version, plan or tool."""
    check_options(engine, 0, seed, None)
    how = How(jobs, dask)
    how.check()
    if verilog is not None and (plan is not None or cycles is not None):
        raise BadInput("the plan of --verilog DIR lies there: leave out --plan and --cycles")
    network = load_net(net)
    was = None
    if record:
        check_place(golden)
        if images is None and data_name is None:
            check_range("--count", COUNT if count is None else count, 1, 10**6)
            chosen, source = _random(network, seed, count or COUNT)
        else:
            chosen = open_images(net, network, images, data_name, data, count)
            file = None if images is None else images.name
            source = Source(data_name, file, None, chosen.count, chosen.digest(network))
    else:
        was = Golden.load(golden)
        if data_name is not None or count is not None or seed:
            raise BadInput(f"{golden} says which images: leave out --set, --count and --seed, or record it anew")
        chosen, source = _recorded(net, network, was.images, golden, images, data), was.images
    kept = places.cache(cache)
    ship = shipped(verilog, network) if verilog is not None else None
    folding = ship.plan if ship else choose_plan(network, plan, cycles, kept)
    ran = run(
        network, folding, chosen, engine=engine, pauses=0.0, seed=0, how=how, cache=kept, console=err(), ship=ship
    )  # fmt: skip
    if ran.fault:
        raise RuntimeError(ran.fault)
    if not ran.result.exact:
        raise RuntimeError(f"the machine is not the network: {ran.result.first_difference}")
    now = Golden(
        network=ran.about["network"],
        images=source,
        cycles_per_frame=ran.result.cycles_per_frame,
        latency_cycles=ran.result.latency,
        logits=tuple(digest for part in ran.done for digest in part.logits),
        plan=ran.about["plan"],
        verilog=ran.about["verilog"],
        engine=engine,
        version=version("bitfold"),
    )
    if was is None:
        now.save(golden)
        figures = {"recorded": str(golden), "images": chosen.count}
        tell(figures | {"cycles_per_frame": now.cycles_per_frame, "latency_cycles": now.latency_cycles}, as_json)
        return
    found = list(changes(was, now))
    wrong = [change for change in found if change.wrong]
    told = {
        "same": not wrong,
        "images": chosen.count,
        "cycles_per_frame": now.cycles_per_frame,
        "latency_cycles": now.latency_cycles,
    }
    if as_json:
        lists = {
            name: [{"what": each.what, "was": each.was, "now": each.now} for each in found if each.wrong == kind]
            for name, kind in (("differences", True), ("changes", False))
        }
        print(json.dumps(told | lists))
    else:
        for change in found:
            out().print(f"{'differs ' if change.wrong else 'changed '} {change}")
        tell(told, False)
    if wrong:
        raise typer.Exit(1)


def _random(network: Net, seed: int, count: int) -> tuple[Images, Source]:
    """Random images, the same for ever."""
    chosen = of_array(f"random images, seed {seed}", random_images(network, count, seed))
    return chosen, Source(None, None, seed, count, chosen.digest(network))


def _recorded(name: str, network: Net, source: Source, golden: Path, images: Path | None, data: Path | None) -> Images:
    """The images that a golden file was recorded with; BadInput where they are not there."""
    if source.file is not None and images is None:
        raise BadInput(f"{golden} was recorded with the images of {source.file}: name that file by --images")
    if source.file is None and images is not None:
        raise BadInput(f"{golden} was recorded with other images than a file's: leave out --images")
    if source.random is not None:
        check_range("the golden file's count", source.count, 1, 10**6)
        check_range("the golden file's seed", source.random, 0, 2**32 - 1)
        chosen, found = _random(network, source.random, source.count)
    else:
        chosen = open_images(name, network, images, source.data, data, source.count if source.data else None)
        found = Source(source.data, source.file, None, chosen.count, chosen.digest(network))
    if found.digest != source.digest or found.count != source.count:
        raise BadInput(
            f"these are other images than {golden} was recorded with ({found.digest[:12]}, not {source.digest[:12]}); "
            "name those, or record it again with --record"
        )
    return chosen
