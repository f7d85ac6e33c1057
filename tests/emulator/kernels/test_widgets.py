"""Notebooks with ipywidgets: an ``Output`` widget sends to the kernel while the kernel's reply is awaited."""

from __future__ import annotations

import asyncio
import json
from queue import Empty

import pytest
import zmq.asyncio
from jupyter_client.session import Session

from airflow_nbjobs.emulator.kernels.client import PollingChannel
from tests.support import kernels

WIDGET = "import ipywidgets as w\nout = w.Output()\n"
PRINTING = {
    "once": "with out:\n    print('inside')\nout",
    "often": "for n in range(50):\n    with out: print(n, flush=True)\nout",
    "cleared": "for n in range(20):\n    with out:\n        out.clear_output(wait=True)\n        print(n)\nout",
    "nested": "other = w.Output()\nwith out:\n    with other: print('deep')\n    display(other)\nout",
    "captured": "@out.capture()\ndef f(): print('inside')\nf()\nout",
    "with an error": "with out:\n    1 / 0\nout",
}


@pytest.mark.parametrize("code", PRINTING.values(), ids=PRINTING.keys())
def test_a_notebook_that_prints_into_an_output_widget_ends(tmp_path, code):
    ended = kernels.run(tmp_path / "scratch", WIDGET + code, "print('end')")
    assert (ended.ok, ended.message) == (True, "")
    assert kernels.texts(ended)[1] == "end\n"


def test_the_output_of_a_widget_is_in_the_widget_state(tmp_path):
    ended = kernels.run(tmp_path / "scratch", WIDGET + PRINTING["once"])
    (shown,) = kernels.outputs(ended)[0]
    model = shown["data"]["application/vnd.jupyter.widget-view+json"]["model_id"]
    (widgets,) = json.loads(ended.notebook)["metadata"]["widgets"].values()
    assert widgets["state"][model]["state"]["outputs"][0]["text"] == "inside\n"


class SilentSocket(zmq.asyncio.Socket):
    """A socket that never signals: a poll sees only what is there when it begins."""

    def poll(self, timeout=None, flags=zmq.POLLIN):
        async def poll():
            ready = self._shadow_sock.poll(0)
            if not ready:
                await asyncio.sleep(float("inf") if timeout is None else timeout / 1000)
            return ready

        return poll()


async def test_a_lost_signal_delays_a_message_only():
    with zmq.asyncio.Context() as context, context.socket(zmq.PAIR) as sender:
        sender.linger = 0
        port = sender.bind_to_random_port("tcp://127.0.0.1")
        channel = PollingChannel(SilentSocket(context, zmq.PAIR), Session(key=b""))
        channel.socket.connect(f"tcp://127.0.0.1:{port}")
        try:
            waiting = asyncio.create_task(channel.get_msg())
            await asyncio.sleep(0)
            Session(key=b"").send(sender._shadow_sock, "comm_msg", {"a": 1})
            assert (await asyncio.wait_for(waiting, 30))["content"] == {"a": 1}
            with pytest.raises(Empty):
                await channel.get_msg(timeout=0.1)
        finally:
            channel.close()
