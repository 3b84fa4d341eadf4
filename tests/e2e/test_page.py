"""The live page in a real headless Chromium: what a visitor sees and does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from lipdeploy.runtime.sources.state import SourceState
from lipdeploy.runtime.web import PageSink, open_page
from tests.e2e.chromium import open_chromium, resize
from tests.runtime.page_feed import Context, Feeder

SECRET = "correct-horse"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    opened = open_chromium(tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.quit()


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def sink(context: Context) -> PageSink:
    return open_page("http://127.0.0.1:0", context)


@pytest.fixture
def feeder(sink: PageSink, context: Context) -> Iterator[Feeder]:
    with Feeder(sink, context) as running:
        yield running


def eventually(holds: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What `holds` returns once it is true, or at last."""
    until = time.monotonic() + seconds
    while not (found := holds()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def text(driver: Any, selector: str) -> str:
    script = "return document.querySelector(arguments[0])?.textContent ?? ''"  # while it loads
    return str(driver.execute_script(script, selector))


def state(driver: Any) -> str:
    return str(driver.execute_script("return document.getElementById('stage').dataset.state"))


def live(driver: Any) -> bool:
    return bool(eventually(lambda: state(driver) == "ok"))


def pixels(driver: Any) -> str:
    return str(driver.execute_script("return document.getElementById('picture').toDataURL()"))


def opened(driver: Any, url: str) -> None:
    driver.get_log("browser")
    driver.get_log("performance")
    driver.get(url)
    assert live(driver), text(driver, "#banner")


def requested_urls(driver: Any) -> set[str]:
    messages = [json.loads(row["message"])["message"] for row in driver.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return {str(params["request"]["url"]) for params in sent}


def test_the_page_shows_moving_pictures_and_figures(
    driver: Any, sink: PageSink, feeder: Feeder
) -> None:
    opened(driver, sink.url)
    first = pixels(driver)
    assert eventually(lambda: pixels(driver) != first)
    assert text(driver, "#connection") == "Live"
    assert "statistical" in text(driver, "#claim-title")
    assert "measured, not bounded" in text(driver, "#meaning")
    assert text(driver, "#share").startswith("≥ ")
    rows = driver.execute_script(
        "return [...document.querySelectorAll('#classes tbody tr')].map(r => r.innerText)"
    )
    assert [row.split()[0] for row in rows] == ["road", "sky", "background"]
    assert all("%" in row for row in rows)
    assert "test://scene" in text(driver, "#sources")
    assert "2 dropped, disk full" in text(driver, "#sinks")
    inked = "const c = document.getElementById('latency-curve'); return c.getContext('2d')" + (
        ".getImageData(0, 0, c.width, c.height).data.some(v => v > 0)"
    )
    assert driver.execute_script(inked)
    assert [row for row in driver.get_log("browser") if row["level"] == "SEVERE"] == []
    own = {
        url for url in requested_urls(driver) if url.startswith("http")
    }  # its first tab: chrome:, data:
    assert f"{sink.url}/static/page.js" in own
    assert {url for url in own if not url.startswith(f"{sink.url}/")} == set()


def test_the_slider_acts_by_mouse_keyboard_and_number(
    driver: Any, sink: PageSink, feeder: Feeder, context: Context
) -> None:
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    actions = pytest.importorskip("selenium.webdriver").ActionChains(driver)
    controls = context.controls
    assert controls is not None
    resize(driver, 1280, 900)
    opened(driver, sink.url)
    slider = driver.find_element("id", "slider")
    assert eventually(lambda: slider.get_property("value") == "0.25")
    before = text(driver, "#share")
    actions.move_to_element_with_offset(slider, slider.size["width"] // 4, 0).click().perform()
    assert eventually(lambda: 0.7 < controls.eps < 0.8)
    assert eventually(lambda: text(driver, "#share") not in (before, "–", "withheld"))
    by_mouse = controls.eps
    slider.send_keys(keys.ARROW_LEFT)
    assert eventually(lambda: controls.eps == pytest.approx(by_mouse - 0.01))
    slider.send_keys(keys.HOME)
    assert eventually(lambda: controls.eps == 0.0)
    assert eventually(lambda: "eps = 0 is" in text(driver, "#claim"))
    assert slider.get_attribute("aria-valuetext").startswith("0, ")
    exact = driver.find_element("id", "exact")
    exact.clear()
    exact.send_keys("1.5", keys.ENTER)
    assert eventually(lambda: controls.eps == 1.5)
    assert float(slider.get_property("max")) >= 1.5
    exact.clear()
    exact.send_keys("-1", keys.ENTER)
    assert eventually(lambda: "0 or more" in text(driver, "#eps-error"))
    assert controls.eps == 1.5
    controls.set_eps(0.125)  # by another visitor
    driver.execute_script("document.activeElement.blur()")
    assert eventually(lambda: slider.get_property("value") in ("0.12", "0.13"))


def test_everything_can_be_reached_by_keyboard_and_has_a_name(
    driver: Any, sink: PageSink, feeder: Feeder
) -> None:
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    opened(driver, sink.url)
    eventually(lambda: driver.find_element("id", "slider").is_enabled())
    reached = []
    for _ in range(3):
        driver.switch_to.active_element.send_keys(keys.TAB)
        reached.append(driver.switch_to.active_element.get_attribute("id"))
        outline = driver.execute_script("return getComputedStyle(document.activeElement).outline")
        assert "3px" in outline
    assert reached == ["fullscreen", "slider", "exact"]
    tree = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = {
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if not node["ignored"]
    }
    assert ("slider", "Attack budget eps") in named
    assert ("spinbutton", "eps, exact value") in named
    assert not {role for role, name in named if role in ("button", "slider", "img") and not name}


def test_withheld_is_shown_big_with_its_reason_and_without_figures(
    driver: Any, sink: PageSink, feeder: Feeder
) -> None:
    opened(driver, sink.url)
    feeder.reason = "frozen"
    assert eventually(lambda: text(driver, "#banner strong") == "WITHHELD: frozen")
    assert driver.find_element("id", "banner").is_displayed()
    assert text(driver, "#share") == "withheld"
    assert eventually(lambda: "%" not in text(driver, "#classes tbody"))
    feeder.reason = ""
    assert live(driver)
    assert not driver.find_element("id", "banner").is_displayed()


def test_an_old_picture_is_never_shown_as_live(
    driver: Any, sink: PageSink, feeder: Feeder, context: Context
) -> None:
    opened(driver, sink.url)
    feeder.paused = True
    lost = SourceState("test://scene", "reconnecting", 2, "no answer", 3.5)
    context.sources = (replace(lost),)
    assert eventually(lambda: "no new frame" in text(driver, "#banner strong"))
    look = "return getComputedStyle(document.getElementById('picture')).filter"
    assert "grayscale(1)" in driver.execute_script(look)
    assert text(driver, "#connection") == "Withheld"
    assert text(driver, "#share") == "withheld"
    assert eventually(lambda: "no answer" in text(driver, "#sources"))
    feeder.paused = False
    assert live(driver)


def test_the_page_comes_back_when_the_server_restarts(driver: Any) -> None:
    first = Context()
    sink = open_page("http://127.0.0.1:0", first)
    with Feeder(sink, first):
        opened(driver, sink.url)
    assert eventually(lambda: state(driver) == "lost")
    assert text(driver, "#banner strong") in ("ENDED", "DISCONNECTED")
    assert not driver.find_element("id", "slider").is_enabled()
    assert "%" not in text(driver, "#share")
    second = Context()
    with Feeder(open_page(sink.url, second), second):
        assert live(driver)
        again = pixels(driver)
        assert eventually(lambda: pixels(driver) != again)
        assert eventually(lambda: driver.find_element("id", "slider").is_enabled())


def test_token(driver: Any, context: Context) -> None:
    sink = open_page(f"http://127.0.0.1:0?token={SECRET}", context)
    with Feeder(sink, context):
        driver.get(sink.url)
        assert "asks for a token" in text(driver, "main")
        field = driver.find_element("id", "token")
        field.send_keys("wrong-wrong")
        field.submit()
        assert eventually(lambda: "asks for a token" in text(driver, "main"))
        driver.get(f"{sink.url}/?token={SECRET}")
        assert live(driver)
        assert SECRET not in driver.current_url
        assert driver.execute_script("return document.cookie") == ""
        driver.get(sink.url)  # the cookie alone
        assert live(driver)
        driver.delete_all_cookies()
        driver.get(sink.url)
        field = driver.find_element("id", "token")
        field.send_keys(SECRET)
        field.submit()
        assert live(driver)


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844), (320, 640)])
def test_nothing_is_wider_than_the_screen(
    driver: Any, sink: PageSink, feeder: Feeder, width: int, height: int
) -> None:
    resize(driver, width, height, dark=width == 390)
    opened(driver, sink.url)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    small = driver.execute_script(
        "return [...document.querySelectorAll('button, input')]"
        ".filter(e => e.getBoundingClientRect().height < 44).map(e => e.id)"
    )
    assert small == []  # a finger needs 44 pixels
