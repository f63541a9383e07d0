"""What the edge's steps cost on an empty call: `edge_steps.py`, beside the other parts."""

from rich.console import Console

from benchmarks import edge_steps
from benchmarks.bench.figures import Figure, Measured


async def measure(_rounds: int, _console: Console) -> Measured:
    """Measures the steps, in rounds of its own."""
    taken = await edge_steps.steps()
    return {f"steps of a call {kind}: us": Figure.of(values) for kind, values in taken.items()}, ""
