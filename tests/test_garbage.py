"""What a process makes when it starts is not looked through by the garbage collector while it serves."""

import gc

from svoykrug_server.process import keep_what_was_made


def test_what_was_made_at_the_start_is_out_of_the_collectors_sight() -> None:
    made = [[number] for number in range(1_000)]
    try:
        keep_what_was_made()
        assert gc.get_freeze_count() >= len(made)
        assert not any(each is made for each in gc.get_objects())
    finally:
        gc.unfreeze()


def test_a_start_that_paused_the_collector_leaves_it_running() -> None:
    gc.disable()
    try:
        keep_what_was_made()
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
