// A page in a real browser, for a check of a few steps: it fails on what is not on screen in time and on any error in the console.
import { strict as assert } from 'node:assert';
import { chromium } from 'playwright-core';

/** Runs the steps with a page of the master's; what is on screen is told when one of them fails. */
export async function inBrowser(steps) {
  const master = new URL(process.env.CHAPADA_MASTER_URL);
  const faults = [];
  const browser = await chromium.launch({
    executablePath: process.env.CHAPADA_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  });
  const page = await browser.newPage({ viewport: { width: 1360, height: 860 } });
  page.setDefaultTimeout(30_000);
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && faults.push(`console ${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => faults.push(`exception: ${error.message}`));
  try {
    await steps(page, (path) => page.goto(new URL(path, master).href));
    assert.deepEqual(faults, []);
  } catch (error) {
    console.error(error);
    console.error(faults.join('\n'), await page.locator('main').innerText());
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}
