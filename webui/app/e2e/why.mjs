// From a stuck deployment, and from a waiting app, to the reason in at most two clicks, in a real browser.
//
//   CHAPADA_MASTER_URL   the leading master
//   CHAPADA_APP_ID       id of an app whose instances fit nowhere
//   CHAPADA_SENTENCE     what is said of it
//   CHAPADA_CHANGE       the smallest change, as it is shown
//   CHAPADA_CHROMIUM     the browser; /usr/bin/chromium when unset
import { strict as assert } from 'node:assert';
import { inBrowser } from './browser.mjs';

const { CHAPADA_APP_ID: app, CHAPADA_SENTENCE: sentence, CHAPADA_CHANGE: change } = process.env;

await inBrowser(async (page, goto) => {
  await goto('/#/deployments');
  const row = page.getByRole('row').filter({ has: page.getByRole('link', { name: app, exact: true }) });
  await row.getByText(sentence).waitFor();
  console.log('ok the list of deployments says it: 0 clicks');
  await row.getByRole('link', { name: app, exact: true }).first().click();
  await reason(page);
  console.log('ok from the deployment to the funnel: 1 click');
  await goto('/#/apps');
  await page.getByRole('link', { name: `${app} is waiting`, exact: true }).click();
  await reason(page);
  console.log('ok from the badge to the funnel: 1 click');
});

async function reason(page) {
  const panel = page.getByRole('region', { name: 'Why instances wait' });
  await panel.getByText(sentence).waitFor();
  await panel.getByRole('list', { name: 'What would help' }).getByText(change).first().waitFor();
  const memory = panel.locator('[data-step="InsufficientMemory"]');
  assert.deepEqual(await memory.getByRole('cell').allInnerTexts().then((cells) => cells.slice(0, 3)), ['Memory', '1', '0']);
}
