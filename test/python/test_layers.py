"""What is said of dropout: two passes over the same input must give the same, or a custom loss is refused."""

# pyright: reportMissingImports=false
from __future__ import annotations

from torch import nn

from thurstone_runtime.description import describe_model
from thurstone_runtime.families import load_model
from thurstone_runtime.layers import active_dropout, enable_checkpointing


def test_dropout_counts_only_where_it_is_switched_on_while_a_part_runs(tiny_checkpoint):
    loaded = load_model(str(tiny_checkpoint), device="cpu", train=True)
    model = loaded.model
    attention = [module for module in model.modules() if hasattr(module, "attention_dropout")]
    assert len(attention) > 1
    for module in attention:
        vars(module)["attention_dropout"] = 0.1
    # Checkpointed layers are put into training mode for a part; what is inside them stays as it is.
    enable_checkpointing(model)
    assert describe_model(loaded)["dropout"] == 0

    attention[-1].train()
    assert describe_model(loaded)["dropout"] == 0.1

    attention[0].add_module("adapter", nn.Sequential(nn.Dropout(0.25), nn.Linear(2, 2)).train())
    assert active_dropout(model) == 0.25
    model.eval()
    assert active_dropout(model) == 0
