/** Whether what is on screen is still fed: one banner for all streams, not one per table. */

/** Shorter cuts (a master that just changed) are not worth a flash of red. */
const SHOWN_AFTER_MS = 600;

class Link {
  /** The master's streams broke and are being opened again. */
  lost = $state(false);
  /** What the server said, when it said anything. */
  reason = $state<string | null>(null);
  /** Counts up whenever everything came back, so that what was read once can be read again. */
  restored = $state(0);

  #broken = new Set<symbol>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  broke(source: symbol, reason: string | null) {
    this.#broken.add(source);
    if (this.lost) this.reason = reason;
    this.#timer ??= setTimeout(() => {
      this.lost = true;
      this.reason = reason;
    }, SHOWN_AFTER_MS);
  }

  holds(source: symbol) {
    if (!this.#broken.delete(source) || this.#broken.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.lost) this.restored += 1;
    this.lost = false;
    this.reason = null;
  }
}

export const link = new Link();
