"""Can a page be used in a browser, opened as a file, without a request and without an error? In headless Chromium."""

import json
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from builders import chain, linear_profile, named, pipeline_plan, play, switched

import edgesim as es
from edgesim.trace import Trace
from experiments.report.page import Section, page, timeline
from experiments.report.reading import read_run
from experiments.report.run_page import page_of
from experiments.report.tracks import timeline_data

selenium = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed (pip install selenium)")
ScrollOrigin = pytest.importorskip("selenium.webdriver.common.actions.wheel_input").ScrollOrigin
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(
        not (which("chromium") and which("chromedriver")),
        reason="no browser (apt-get install chromium chromium-driver)",
    ),
]
MANY = 100_000
MOST_BYTES, MOST_LOADING_MS, MOST_DRAWING_MS = 10**6, 1000, 50  # on an idle machine; the best of some tries is judged


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window, which finds no host."""
    options = selenium.ChromeOptions()
    options.binary_location = which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")
    options.add_argument("--window-size=1300,1000")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = selenium.ChromeService(executable_path=which("chromedriver"))
    driver = selenium.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small run."""
    folder = es.simulate(model="bert_small_bytes", strategy="pipeline").save(tmp_path_factory.mktemp("page") / "run")
    file = folder / "report.html"
    file.write_text(page_of(read_run(folder), "a test"))
    return file


def opened(browser: Any, path: Path) -> Any:
    """Open a page, and return its first timeline."""
    browser.get(path.as_uri())
    assert browser.find_element("css selector", "body").get_attribute("data-ready") == "yes"
    box = browser.find_element("css selector", ".timeline")
    browser.execute_script("arguments[0].scrollIntoView()", box)
    return box


def window(box: Any) -> tuple[float, float]:
    return float(box.get_attribute("data-from")), float(box.get_attribute("data-to"))


def act(browser: Any) -> Any:
    return selenium.ActionChains(browser, duration=50)


def requested(browser: Any) -> list[str]:
    """Where requests went since somebody asked last."""
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    return [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]


def test_a_page_makes_no_request_and_no_error_is_small_and_opens_at_once(browser: Any, path: Path) -> None:
    requested(browser)
    loading_ms = []
    for _ in range(3):
        opened(browser, path)
        loading_ms.append(browser.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd"))
    assert min(loading_ms) < MOST_LOADING_MS
    assert path.stat().st_size < MOST_BYTES
    assert {url.partition(":")[0] for url in requested(browser)} <= {"file", "data"}
    assert browser.get_log("browser") == []


def test_the_wheel_and_keys_zoom_and_dragging_and_arrows_pan(browser: Any, path: Path) -> None:
    box = opened(browser, path)
    canvas = box.find_element("css selector", "canvas.tracks")
    whole = window(box)
    act(browser).scroll_from_origin(ScrollOrigin.from_element(canvas), 0, -200).perform()
    zoomed = window(box)
    assert whole[0] < zoomed[0] < zoomed[1] < whole[1]
    act(browser).drag_and_drop_by_offset(canvas, -100, 0).perform()
    dragged = window(box)
    assert dragged[0] > zoomed[0]
    assert dragged[1] - dragged[0] == pytest.approx(zoomed[1] - zoomed[0])
    keys = selenium.Keys
    canvas.send_keys(keys.ARROW_LEFT)
    assert window(box)[0] < dragged[0]
    canvas.send_keys("+")
    assert window(box)[1] - window(box)[0] < dragged[1] - dragged[0]
    canvas.send_keys(keys.HOME)
    assert window(box) == whole
    canvas.send_keys("nn")
    assert "on the critical path" in box.find_element("css selector", "[aria-live]").text
    assert browser.get_log("browser") == []


def test_hovering_tells_of_the_task(browser: Any, path: Path) -> None:
    box = opened(browser, path)
    canvas, tip = (box.find_element("css selector", name) for name in ("canvas.tracks", ".tip"))
    assert not tip.is_displayed()
    # The first rank's first forward pass: at the left of the first track, behind the labels.
    left, top = 160 - canvas.size["width"] / 2, 50 - canvas.size["height"] / 2
    act(browser).move_to_element_with_offset(canvas, round(left), round(top)).perform()
    assert tip.is_displayed()
    assert tip.text.splitlines()[:2] == ["0F0@0", "simulated, rank 0: forward"]
    assert "layers 0 to" in tip.text


def test_a_click_on_a_head_sorts_by_numbers_and_by_texts(browser: Any, path: Path) -> None:
    opened(browser, path)
    table = browser.find_element("xpath", "//h2[text()='Where the seconds are']/..//table")

    def column(place: int) -> list[Any]:
        cells = table.find_elements("css selector", f"tbody tr td:nth-child({place})")
        return [cell.get_attribute("data-value") or cell.text for cell in cells]

    head = table.find_elements("css selector", "th button")
    for ascending in (False, True):
        head[2].click()
        numbers = [float(value) for value in column(3)]
        assert numbers == sorted(numbers, reverse=not ascending)
    head[0].click()
    assert column(1) == sorted(column(1), key=str.casefold, reverse=True)
    assert table.find_elements("css selector", "th")[0].get_attribute("aria-sort") == "descending"


def large_trace() -> Trace:
    """A pipeline of more than a hundred thousand tasks."""
    model, cluster = chain(6, output_bytes=100), named(6, network=switched(6))
    trace = play(pipeline_plan(model, micro_batches=3200), model, cluster, linear_profile(model, cluster))
    assert len(trace) > MANY
    return trace


def test_a_hundred_thousand_tasks_stay_fluid(browser: Any, tmp_path: Path) -> None:
    data = timeline_data([large_trace()], [f"d{rank}" for rank in range(6)], None)
    file = tmp_path / "large.html"
    file.write_text(page("large", "", [], [Section(title="Timeline", html=timeline("large", data))]))
    box = opened(browser, file)
    canvas = box.find_element("css selector", "canvas.tracks")
    drawing_ms = [float(box.get_attribute("data-milliseconds"))]
    drawn = [int(box.get_attribute("data-drawn"))]
    for key in "+++++++++++":
        canvas.send_keys(key)
        drawing_ms.append(float(box.get_attribute("data-milliseconds")))
        drawn.append(int(box.get_attribute("data-drawn")))
    assert sorted(drawing_ms)[len(drawing_ms) // 2] < MOST_DRAWING_MS
    assert 0 < max(drawn) < 30 * canvas.size["width"]
    assert browser.get_log("browser") == []
