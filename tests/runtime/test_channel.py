"""The queue between threads: order, bounds, newest only, and closing from either end."""

from __future__ import annotations

import threading
import time

import pytest

from lipdeploy.runtime.channel import Channel, Closed


def test_order_and_end() -> None:
    channel: Channel[int] = Channel(2)

    def produce() -> None:
        for item in range(50):
            channel.put(item)
        channel.close()

    producer = threading.Thread(target=produce)
    producer.start()
    got = [channel.get() for _ in range(50)]
    with pytest.raises(Closed):
        channel.get()
    producer.join()
    assert got == list(range(50))
    assert channel.dropped == 0


def test_newest_never_waits_and_counts() -> None:
    channel: Channel[int] = Channel(1, newest=True)
    for item in range(10):
        channel.put(item)
    assert channel.get() == 9
    assert channel.dropped == 9


def test_close_wakes_a_waiting_producer() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(0)
    refused = []

    def produce() -> None:
        try:
            channel.put(1)
        except Closed:
            refused.append(1)

    producer = threading.Thread(target=produce)
    producer.start()
    time.sleep(0.02)
    channel.close()
    producer.join(5)
    assert refused == [1]
    assert channel.get() == 0
    with pytest.raises(Closed):
        channel.get()


def test_timeout_is_none() -> None:
    channel: Channel[int] = Channel(1)
    assert channel.get(0.01) is None
