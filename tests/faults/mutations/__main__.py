"""Break the product on purpose, and see a test turn red each time: `python -m tests.faults.mutations [NAME...]`.

Example: python -m tests.faults.mutations no-compare-and-set read-uncommitted

Without names all of them. Exits with 1 if one survives, or a patch does not apply any more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from app.local.leash import Leash
from app.local.stack import Stack
from tests.faults.mutations.breaking import Tried, try_out
from tests.faults.mutations.catalogue import MUTATIONS, Mutation


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.mutations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which mutations; all, where none is named")
    named = parser.parse_args().names
    known = {mutation.name: mutation for mutation in MUTATIONS}
    if unknown := sorted(set(named) - set(known)):
        parser.error(f"there is no mutation called {', '.join(unknown)}; there are {', '.join(known)}")
    tried = run([known[name] for name in named or known])
    survived = [one for one in tried if not one.caught]
    print(f"{len(tried) - len(survived)} of {len(tried)} caught")
    return 1 if survived else 0


def run(mutations: list[Mutation]) -> list[Tried]:
    """One after the other, on servers of their own; a line is printed as each is done."""
    tried: list[Tried] = []
    with Leash() as leash:
        home = Path(tempfile.mkdtemp(prefix="streaminfer-mutations-"))
        leash.remove_at_end(home)
        Stack(home).up(leash=leash)
        for mutation in mutations:
            one = try_out(mutation, home)
            tried.append(one)
            print(line(one), flush=True)
    return tried


def line(one: Tried) -> str:
    verdict = "caught" if one.caught else "NOT CAUGHT"
    mutation = one.mutation
    return (
        f"{verdict:10}  {mutation.name:38}  {mutation.rule:4}  {one.seconds:5.1f} s  {mutation.breaks}\n"
        f"{'':12}by {mutation.scenario.split('::')[1]}\n{'':12}   {one.check}"
    )


if __name__ == "__main__":
    sys.exit(main())
