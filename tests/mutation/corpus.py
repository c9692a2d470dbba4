"""The mutation corpus: every mutant, and changes that change nothing."""

from __future__ import annotations

from functools import cache

from tests.mutation.exports import export_mutants
from tests.mutation.files import evidence_mutants, proof_mutants
from tests.mutation.forgeries import forgeries
from tests.mutation.golden import golden
from tests.mutation.lines import disclosure, disclosure_mutants, rotated, rotation_line, rotation_mutants, statement
from tests.mutation.mutant import AICS, DISCLOSURE, EVIDENCE, EXPORT, PROOF, PRUNED, ROTATED, Mutant
from tests.mutation.notes import harmless_notes
from tests.mutation.pruned import harmless_pruned, pruned_known, pruned_mutants


@cache
def corpus() -> tuple[Mutant, ...]:
    """All mutants; their names are unique within a form."""
    found = (*export_mutants(), *forgeries(), *proof_mutants(), *evidence_mutants())
    found += (*disclosure_mutants(), *rotation_mutants(), *pruned_mutants())
    names = [(mutant.form, mutant.name) for mutant in found]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    return found


@cache
def harmless() -> tuple[Mutant, ...]:
    """The golden evidence, and what differs from it only where it may."""
    made = golden()
    notes = [("as it is", made.note), *harmless_notes(made.note)]
    found = [(name, EXPORT, made.export | {"checkpoint": note}) for name, note in notes]
    for form, data in ((PROOF, made.proof), (EVIDENCE, made.evidence)):
        found += [(name, form, {form: data.removesuffix(made.note) + note}) for name, note in notes]
    found += [
        ("a file that belongs to nothing", EXPORT, made.export | {"tile/0/007": b"x"}),
        (
            "an older tile, unchanged",
            EXPORT,
            made.export | {"tile/0/002.p/7": made.export["tile/0/002.p/18"][: 7 * 32]},
        ),
    ]
    found += [("as it is", DISCLOSURE, {DISCLOSURE: disclosure()}), ("as it is", ROTATED, {ROTATED: rotated()})]
    line = rotation_line(statement())
    found += [("a statement twice", ROTATED, {ROTATED: rotated().replace(line, line * 2)})]
    # aics-tlog wants each key at most once, though C2SP signed-note does not.
    picky = {"the same signature twice": frozenset({AICS})}
    return (
        *(
            Mutant(name=name, form=form, files=files, seen_by=picky.get(name, frozenset()))
            for name, form, files in found
        ),
        *(
            Mutant(name=name, form=PRUNED, files=files, seen_by=frozenset(), known=pruned_known())
            for name, files in harmless_pruned()
        ),
    )
