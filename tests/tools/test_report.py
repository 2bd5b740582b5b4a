"""Reports as a user makes them, see ``conftest.py``: ``tools/report.py WORK_DIR...``."""

import shutil
import subprocess
import sys

import pytest
from browser import Browser, find_browser
from fork_server import ROOT
from html_check import Page

from cct_mm.datasets.toy_scenes import DOMAINS


class Reports:
    """Runs the tool; two work dirs with checkpoints after 3 and after 6 iterations."""

    def __init__(self, tools, trained):
        self.tools, self.root = tools, tools.root / 'report'
        self.runs = [self.root / name for name in ('three', 'six')]
        for run in self.runs:
            shutil.copytree(trained, run)
        (self.runs[0] / 'last_checkpoint').write_text('iter_3.pth')

    def __call__(self, *arguments, name='report.html'):
        log, out = self.root / 'log', self.root / name
        log.unlink(missing_ok=True)
        tool = self.tools.server.run(log, 'tools/report.py', *arguments, '--out', out)
        return tool.code, tool.output, out


@pytest.fixture(scope='module')
def reports(tools, straight):
    return Reports(tools, straight.work_dir)


@pytest.fixture(scope='module')
def page(reports):
    """The report of both runs."""
    code, output, out = reports(*reports.runs)
    assert code == 0, output
    return out


class TestReport:
    def test_is_a_valid_page_with_everything_in_it(self, page):
        parsed = Page(page.read_text())
        assert parsed.problems == []
        assert 'What is missing' not in parsed.text
        for part in ('loss_unsupervised', 'w_u', 'day/mIoU', 'F-Drop', *DOMAINS['day']['classes']):
            assert part in parsed.text

    def test_has_the_scores_that_training_validated(self, page, straight):
        text = Page(page.read_text()).text
        assert f'{straight.scalars[-1]["mIoU"]:.2f}' in text

    def test_a_second_one_evaluates_nothing(self, reports, page):
        kept = [run / 'report' / 'val.npz' for run in reports.runs]
        before = [path.stat().st_mtime_ns for path in kept]
        code, _, out = reports(*reports.runs, name='second.html')
        assert code == 0
        assert [path.stat().st_mtime_ns for path in kept] == before
        assert out.read_text().replace('second.html', 'report.html') == page.read_text()

    @pytest.mark.slow
    def test_another_checkpoint_or_a_damaged_file_is_evaluated_anew(self, reports, page):
        run = reports.root / 'changed'
        shutil.copytree(reports.runs[1], run)
        kept = run / 'report' / 'val.npz'
        whole = kept.read_bytes()
        (run / 'last_checkpoint').write_text('iter_3.pth')
        assert reports(run, name='changed.html')[0] == 0
        other = kept.read_bytes()
        assert other != whole
        kept.write_bytes(other[: len(other) // 2])
        assert reports(run, name='changed.html')[0] == 0
        assert kept.read_bytes() == other

    def test_without_its_images_says_what_is_missing_and_shows_the_rest(self, reports):
        run = reports.root / 'moved'
        shutil.copytree(reports.runs[1], run, ignore=shutil.ignore_patterns('report'))
        (config,) = run.glob('*/vis_data/config.py')
        config.write_text(config.read_text().replace('ToyScenes/day', 'Nowhere/day'))
        code, output, out = reports(run, name='moved.html')
        assert code == 0, output
        parsed = Page(out.read_text())
        assert 'moved was not evaluated on val' in parsed.text
        assert 'Nowhere/day' in parsed.text
        assert 'loss_unsupervised' in parsed.text


class TestErrors:
    def test_a_folder_that_is_no_run_is_a_sentence(self, reports):
        reports.root.joinpath('empty').mkdir()
        code, output, out = reports(reports.root / 'empty', name='none.html')
        assert code == 2
        assert 'holds no training, expected the work dir of one' in output
        assert 'Traceback' not in output
        assert not out.exists()

    def test_a_place_where_nothing_can_be_written_is_a_sentence(self, reports):
        (reports.root / 'file').write_text('')
        code, output, _ = reports(reports.runs[0], name='file/report.html')
        assert code == 2
        assert '--out' in output
        assert 'Traceback' not in output


def test_help_needs_no_pytorch():
    check = """
import atexit, runpy, sys
atexit.register(lambda: print('torch' in sys.modules))
sys.argv = ['report.py', '-h']
runpy.run_path('tools/report.py', run_name='__main__')
"""
    done = subprocess.run(
        [sys.executable, '-c', check], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0
    assert 'WORK_DIR' in done.stdout
    assert done.stdout.endswith('False\n')


CONTRASTS = """
(() => {
  const styles = getComputedStyle(document.documentElement);
  const probe = document.body.appendChild(document.createElement('p'));
  const light = (name) => {
    probe.style.color = `var(--${name})`;
    const parts = getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3);
    const [r, g, b] = parts.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const texts = ['ink', 'quiet', 'accent', 'gain', 'loss'];
  const result = {};
  for (const name of texts)
    for (const ground of ['page', 'panel'])
      result[`${name} on ${ground}`] = contrast(name, ground) / 4.5;
  for (let i = 0; i < 8; i++) result[`series ${i}`] = contrast(`series-${i}`, 'page') / 3;
  probe.remove();
  return result;
})()
"""
"""Contrast of each color as a share of what WCAG 2 (AA) asks for text and for lines."""


@pytest.fixture(scope='module')
def browser():
    program = find_browser()
    if program is None:
        pytest.skip('there is no Chromium to open the page with')
    with Browser(program) as browser:
        yield browser


class TestInABrowser:
    @pytest.mark.parametrize('scheme', ['light', 'dark'])
    @pytest.mark.parametrize('width', [360, 1280])
    def test_nothing_is_complained_of_fetched_or_wider_than_the_window(
        self, browser, page, width, scheme
    ):
        browser.open(page, width=width, scheme=scheme)
        browser.evaluate('document.querySelectorAll("details").forEach((one) => one.open = true)')
        assert browser.evaluate('document.documentElement.scrollWidth') <= width
        assert browser.problems() == []
        assert browser.evaluate('[...document.images].every((one) => one.naturalWidth > 0)')

    @pytest.mark.parametrize('scheme', ['light', 'dark'])
    def test_colors_can_be_told_from_their_ground(self, browser, page, scheme):
        browser.open(page, scheme=scheme)
        contrasts = browser.evaluate(CONTRASTS)
        assert {name: share for name, share in contrasts.items() if share < 1} == {}

    def test_the_system_chooses_light_or_dark_and_the_button_overrules_it(self, browser, page):
        ground = 'getComputedStyle(document.body).backgroundColor'
        browser.open(page, scheme='light')
        light = browser.evaluate(ground)
        browser.open(page, scheme='dark')
        dark = browser.evaluate(ground)
        assert light != dark
        seen = []
        for _ in range(3):
            browser.evaluate('document.getElementById("theme").click()')
            seen.append(browser.evaluate(ground))
        # Dark, light, and back to the system's.
        assert seen == [dark, light, dark]

    def test_is_used_by_keyboard_alone(self, browser, page):
        browser.open(page)
        browser.press('Tab', 9)
        assert browser.evaluate('document.activeElement.className') == 'skip'
        browser.press('Enter', 13)
        assert browser.evaluate('location.hash') == '#result'
        browser.open(page)
        for _ in range(2):
            browser.press('Tab', 9)
        assert browser.evaluate('document.activeElement.id') == 'theme'
        browser.press('Enter', 13)
        assert browser.evaluate('document.documentElement.dataset.theme') == 'dark'
        browser.press('Enter', 13)
        browser.press('Enter', 13)
        wide = '[...document.querySelectorAll(".scroll")].every((one) => one.tabIndex === 0)'
        assert browser.evaluate(wide)

    def test_printing_unfolds_the_figures_and_leaves_the_configs_out(self, browser, page, tmp_path):
        browser.open(page)
        folded = 'document.querySelectorAll("details:not([open])").length'
        before = browser.evaluate(folded)
        browser.evaluate('dispatchEvent(new Event("beforeprint"))')
        still = 'document.querySelectorAll("details:not([open]):not(.bulk)").length'
        assert browser.evaluate(still) == 0
        browser.evaluate('dispatchEvent(new Event("afterprint"))')
        assert browser.evaluate(folded) == before
        browser.print(tmp_path / 'report.pdf')
        assert (tmp_path / 'report.pdf').read_bytes().startswith(b'%PDF')
