// Walks from the overview to the log line of an app's task in a real browser, against a running cluster; scales the app by
// its button, kills a task and sees both on screen. Fails on any error in the console and any request to another host.
//
//   CHAPADA_MASTER_URL   the leading master, for instance http://127.0.0.1:5050
//   CHAPADA_APP_ID       id of a deployed app with at least one running instance, for instance /hello
//   CHAPADA_LOG_LINE     text that each of its tasks writes to stdout
//   CHAPADA_CHROMIUM     the browser; /usr/bin/chromium when unset
//   CHAPADA_SHOTS        folder for a picture of each page; none are taken when unset
import { strict as assert } from 'node:assert';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const master = new URL(needed('CHAPADA_MASTER_URL'));
const app = needed('CHAPADA_APP_ID');
const line = needed('CHAPADA_LOG_LINE');
const shots = process.env.CHAPADA_SHOTS;

/** Everything waited for is a condition on screen; this is how long it may take on a busy machine. */
const PATIENCE_MS = 30_000;
/** What the first page may weigh, in bytes. */
const FIRST_PAGE_LIMIT = 400 * 1024;

const faults = [];
const browser = await chromium.launch({
  executablePath: process.env.CHAPADA_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
});
const page = await browser.newPage({ viewport: { width: 1360, height: 860 }, colorScheme: 'dark' });
page.setDefaultTimeout(PATIENCE_MS);
page.on('console', (message) => ['error', 'warning'].includes(message.type()) && faults.push(`console ${message.type()}: ${message.text()}`));
page.on('pageerror', (error) => faults.push(`exception: ${error.message}`));
page.on('request', (request) => {
  const url = new URL(request.url());
  if (url.protocol !== 'data:' && url.protocol !== 'blob:' && url.origin !== master.origin) faults.push(`request to another host: ${request.url()}`);
});

try {
  await step('overview', overview);
  await step('apps', apps);
  await step('app', appPage);
  await step('log of its task', log);
  await step('sandbox of its task', sandbox);
  await step('scale by button', scale);
  await step('kill and come back', kill);
  await step('every other page', everyPage);
  await step('hostile addresses', unknownThings);
} catch (error) {
  console.error(error);
  if (faults.length > 0) console.error(faults.join('\n'));
  if (shots) await page.screenshot({ path: join(shots, 'failed.png') });
  process.exitCode = 1;
} finally {
  await browser.close();
}

async function overview() {
  const files = [];
  const weigh = (response) => {
    if (!/\/query\/|\/proxy\//.test(response.url())) files.push(response.body());
  };
  page.on('response', weigh);
  const started = performance.now();
  await page.goto(new URL('/', master).href);
  await page.getByRole('meter', { name: /CPUs: .* of .* allocated/ }).waitFor();
  const took = performance.now() - started;
  await page.waitForLoadState('load');
  page.off('response', weigh);
  const weight = (await Promise.all(files)).reduce((sum, body) => sum + body.length, 0);
  console.log(`  first useful paint after ${Math.round(took)} ms, ${Math.round(weight / 1024)} KiB`);
  assert.ok(weight > 10_000, 'the UI is not built into this master: it served its notice page');
  assert.ok(weight <= FIRST_PAGE_LIMIT, `the first page weighs ${weight} bytes`);
  await page.getByRole('region', { name: 'Recent tasks' }).getByRole('row').nth(1).waitFor();
}

async function apps() {
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Apps' }).click();
  await page.getByRole('link', { name: app, exact: true }).click();
}

async function appPage() {
  await page.getByRole('heading', { level: 1, name: app, exact: true }).waitFor();
  await page.locator('[data-task][data-state="TASK_RUNNING"]').first().waitFor();
}

async function log() {
  await page.locator('[data-task][data-state="TASK_RUNNING"]').first().getByRole('link').first().click();
  await page.locator('[data-log="stdout"]').getByText(line).first().waitFor();
  await page.getByText('live', { exact: true }).waitFor();
  await page.getByRole('list').getByText('running').first().waitFor();
  await page.getByRole('tab', { name: 'stderr' }).click();
  await page.locator('[data-log="stderr"]').waitFor();
}

async function sandbox() {
  await page.getByRole('tab', { name: 'Files' }).click();
  const files = page.getByRole('table', { name: 'Files' });
  await files.getByRole('button', { name: 'stdout' }).waitFor();
  const [download] = await Promise.all([page.waitForEvent('download'), files.getByRole('link', { name: 'Download stdout' }).click()]);
  assert.match(download.suggestedFilename(), /^stdout/);
  assert.equal(await download.failure(), null);
  await files.getByRole('button', { name: 'stdout' }).click();
  await page.locator('[data-log="stdout"]').getByText(line).first().waitFor();
}

async function scale() {
  await toApp();
  const before = await running();
  const known = new Set(await ids());
  const started = performance.now();
  await page.getByRole('button', { name: `One instance more of ${app}` }).click();
  await until('one more instance runs', async () => (await running()) === before + 1);
  console.log(`  from the click to the new instance on screen: ${Math.round(performance.now() - started)} ms`);
  assert.equal((await ids()).filter((id) => !known.has(id)).length, 1);
  await page.getByRole('button', { name: `One instance less of ${app}` }).click();
  await until('one instance less runs', async () => (await running()) === before);
}

async function kill() {
  await toApp();
  const before = await running();
  const [victim] = await ids();
  await page.getByRole('button', { name: `Kill ${victim}`, exact: true }).click();
  await until(`${victim} is gone and another runs in its place`, async () => !(await ids()).includes(victim) && (await running()) === before);
}

async function everyPage() {
  for (const name of ['Deployments', 'Tasks', 'Agents', 'Frameworks', 'Offers', 'Roles', 'Overview']) {
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name, exact: true }).click();
    await settled();
    await shot(name.toLowerCase());
    if (name === 'Tasks') {
      await page.getByRole('combobox', { name: 'State' }).selectOption('running');
      await until('only running tasks are listed', async () => {
        const states = await page.locator('td:first-child .badge').allTextContents();
        return states.length > 0 && states.every((state) => ['running', 'healthy', 'unhealthy'].includes(state));
      });
      await page.getByRole('searchbox').fill('no task has this name');
      await page.getByText('No task matches these filters.').waitFor();
    }
    if (name === 'Agents' || name === 'Frameworks') {
      await page.getByRole('row').nth(1).getByRole('link').first().click();
      await page.getByText('Registered', { exact: true }).waitFor();
      await settled();
      await shot(name === 'Agents' ? 'agent' : 'framework');
    }
  }
}

async function unknownThings() {
  // What is not there is answered 404 or 400, which a browser reports as an error of its own accord; only here is that expected.
  const before = faults.length;
  await page.goto(new URL('/#/tasks/none/%3Cimg%20src=x%20onerror=alert(1)%3E', master).href);
  await page.getByText('There is no task').waitFor();
  await page.goto(new URL('/#/no/such/page', master).href);
  await page.getByRole('heading', { name: 'No such page' }).waitFor();
  const fresh = faults.splice(before);
  assert.deepEqual(fresh.filter((fault) => !/status of 40[04]/.test(fault)), []);
}

async function toApp() {
  await page.goto(new URL(`/#/apps${app}`, master).href);
  await appPage();
  await until('the app stands still', async () => (await page.locator('[data-task]').count()) === (await running()));
}

async function running() {
  return page.locator('[data-task][data-state="TASK_RUNNING"]').count();
}

async function ids() {
  return page.locator('[data-task]').evaluateAll((rows) => rows.map((row) => row.dataset.task));
}

async function settled() {
  await until('nothing is loading', async () => (await page.getByText('Loading …').count()) === 0);
}

async function until(what, holds) {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, `not seen within ${PATIENCE_MS / 1000} s: ${what}; on screen: ${await page.locator('main').innerText()}`);
    // One frame: what is on screen changes no faster.
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(done)));
  }
}

async function step(name, run) {
  const started = performance.now();
  await run();
  await shot(name.replaceAll(' ', '-'));
  assert.deepEqual(faults, [], `in step "${name}"`);
  console.log(`ok ${name} (${Math.round(performance.now() - started)} ms)`);
}

async function shot(name) {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`) });
}

function needed(name) {
  const value = process.env[name];
  if (!value) {
    console.error(`set ${name}; the head of e2e/walk.mjs says what to`);
    process.exit(2);
  }
  return value;
}
