"""Whatever the settings, a replica has the bits of a run of its own.

A dozen random settings; `make torture` tries 200, and says from which seed it drew them.
"""

import replicas
from hypothesis import Phase, given, note, settings


def test_a_replica_has_the_bits_of_a_run_of_its_own_whatever_the_settings(replica_examples):
    @settings(max_examples=replica_examples, phases=[Phase.generate], database=None, deadline=None)
    @given(replicas.shapes())
    def check(shape):
        note(f"with {shape}")
        assert replicas.differing(shape) == []

    check()
