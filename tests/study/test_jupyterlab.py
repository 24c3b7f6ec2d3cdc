"""Every notebook in JupyterLab in a real browser: Run All from a fresh kernel, no error, figures there, widths fit.

The browser is spoken to directly (Chrome DevTools protocol), for which any installed Chromium or Chrome will do.
"""

import itertools
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import websocket

from crreid.study.runner import notebooks_dir

pytestmark = pytest.mark.slow

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
NOTEBOOKS = sorted(notebooks_dir().glob("*.ipynb"))
WIDTH, HEIGHT = 1440, 1000
RUN_SECONDS = 900
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # all cells on the page, also those out of sight: they are measured
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}

STATE = """(() => {
  const app = window.jupyterapp, panels = app ? [...app.shell.widgets("main")] : [];
  window.panel = panels.find(panel => panel.context && panel.context.path.endsWith(".ipynb"));
  if (!window.panel) return "none";
  app.shell.activateById(window.panel.id);
  const session = window.panel.sessionContext.session;
  return app.shell.currentWidget === window.panel && session && session.kernel ? session.kernel.status : "none";
})()"""

RUN_ALL = """(() => {
  window.finished = "running";
  window.jupyterapp.commands.execute("notebook:run-all-cells").then(() => { window.finished = "done"; });
})()"""

FOUND = """(() => {
  const node = panel.content.node;
  const outputs = [...node.querySelectorAll(".jp-OutputArea-output")];
  return {
    cells: panel.content.model.toJSON().cells,
    images: [...node.querySelectorAll(".jp-OutputArea-output img")].map(image => image.naturalWidth),
    mathematics: node.querySelectorAll("mjx-container").length,
    page: document.documentElement.scrollWidth - window.innerWidth,
    wide: outputs.filter(output => output.scrollWidth > output.clientWidth + 1)
      .map(output => [output.scrollWidth, output.clientWidth, output.textContent.slice(0, 60)]),
  };
})()"""


class Browser:
    """One page of a headless Chromium."""

    def __init__(self, program: str, folder: Path) -> None:
        command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
        command += ["--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0"]
        command += ["--remote-allow-origins=*", f"--user-data-dir={folder}", "--hide-scrollbars", "about:blank"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        file = folder / "DevToolsActivePort"
        wait_until(lambda: file.exists() and len(file.read_text().splitlines()) > 1, 60, "the browser to start")
        port = file.read_text().splitlines()[0]
        pages = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json"))
        page = next(entry for entry in pages if entry["type"] == "page")
        self._socket = websocket.create_connection(page["webSocketDebuggerUrl"], timeout=120)
        self._numbers = itertools.count(1)
        self.call("Page.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv())).get("id") != number:
            pass  # an event
        assert "error" not in answer, answer
        return answer["result"]

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def open(self, address: str, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=address)

    def close(self) -> None:
        self._socket.close()
        end(self._process)


def end(process: subprocess.Popen) -> None:
    """Ends a process and those that it started; it leads a group of its own."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, sign)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                continue


def wait_until(condition, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    opened = Browser(program, tmp_path_factory.mktemp("browser"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[str]:
    """Address of a JupyterLab on copies of the notebooks; with {} where a notebook's name goes."""
    folder = tmp_path_factory.mktemp("lab")
    for file in NOTEBOOKS:
        notebook = nbformat.read(file, as_version=4)
        cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
        cell.source = re.sub(r'(?m)^profile = "\w+"', 'profile = "smoke"', cell.source)
        nbformat.write(notebook, folder / file.name)
    for name, settings in SETTINGS.items():
        target = folder / "settings" / f"{name}.jupyterlab-settings"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(settings))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    command += ["--expose-app-in-browser", f"--LabApp.user_settings_dir={folder / 'settings'}"]
    command += [f"--LabApp.workspaces_dir={folder / 'workspaces'}"]
    with (folder / "server.log").open("w") as log:
        environment = os.environ | {"CRREID_RESULTS": str(folder / "results")}
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True)

    def answers() -> bool:
        assert server.poll() is None, (folder / "server.log").read_text()
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}").status == 200
        except urllib.error.URLError:
            return False

    wait_until(answers, 120, "JupyterLab to start")
    yield f"http://127.0.0.1:{port}/lab/workspaces/{{0}}/tree/{{0}}.ipynb?reset&token={token}"
    end(server)


@pytest.mark.parametrize("name", [file.stem for file in NOTEBOOKS])
def test_run_all_in_a_fresh_kernel(name, lab, browser):
    browser.open(lab.format(name), WIDTH, HEIGHT)
    wait_until(lambda: browser.evaluate(STATE) == "idle", 120, "the kernel")
    browser.evaluate(RUN_ALL)
    wait_until(lambda: browser.evaluate("window.finished") == "done", RUN_SECONDS, "Run All")
    wait_until(lambda: browser.evaluate(STATE) == "idle", 60, "the kernel to become idle")
    time.sleep(1)  # for the last output to be drawn
    found = browser.evaluate(FOUND)
    code = [cell for cell in found["cells"] if cell["cell_type"] == "code"]
    errors = [out["evalue"] for cell in code for out in cell["outputs"] if out["output_type"] == "error"]
    assert errors == []
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    pictures = [out for cell in code for out in cell["outputs"] if "image/png" in out.get("data", {})]
    assert len(found["images"]) == len(pictures) > 0
    assert all(width > 0 for width in found["images"])
    assert found["mathematics"] > 0
    assert found["page"] <= 0
    assert found["wide"] == []
