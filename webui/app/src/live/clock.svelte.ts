/** One clock for all relative times on screen. */

import { createSubscriber } from 'svelte/reactivity';

const TICK_MS = 1_000;

const subscribe = createSubscriber((update) => {
  const timer = setInterval(update, TICK_MS);
  return () => clearInterval(timer);
});

/** The time now; whatever reads it in a template is drawn again every second. */
export function now(): number {
  subscribe();
  return Date.now();
}
