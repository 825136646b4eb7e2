// The drains of a cluster in a real browser: who is left, how far it is, and that its agents are drained.
//
//   CHAPADA_MASTER_URL   the leading master
//   CHAPADA_DRAIN        the name of a drain
//   CHAPADA_CHOSEN_BY    by what its agents were chosen
//   CHAPADA_DONE         how far it is, as `1 of 2`
//   CHAPADA_AGENT        one of its agents that is not drained yet, if there is one
//   CHAPADA_WAITS        words of what that waits for
//   CHAPADA_CHROMIUM     the browser; /usr/bin/chromium when unset
import { inBrowser } from './browser.mjs';

const { CHAPADA_DRAIN: drain, CHAPADA_CHOSEN_BY: chosen, CHAPADA_DONE: done, CHAPADA_AGENT: agent, CHAPADA_WAITS: waits } = process.env;

await inBrowser(async (page, goto) => {
  await goto('/#/agents');
  const row = page.getByRole('region', { name: 'Drains' }).getByRole('row').filter({ hasText: drain });
  await row.getByText(chosen).waitFor();
  await row.getByRole('progressbar', { name: `${done} agents drained` }).waitFor();
  if (!agent) {
    await page.getByText('drained', { exact: true }).first().waitFor();
    return;
  }
  await goto(`/#/agents/${encodeURIComponent(agent)}`);
  await page.getByText(new RegExp(`Waits for: .*${waits}`)).waitFor();
});
