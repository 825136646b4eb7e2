/** Whether what is on screen is still fed: one banner for all streams, not one per table. */

/** Shorter cuts (a master that just changed) are not worth a flash of red. */
const SHOWN_AFTER_MS = 600;

/** What a master answered instead of a stream. */
export interface Refusal {
  status: number;
  message: string;
}

/** The same page at the master that leads: the fragment survives the redirect. */
export const toLeader = () => `/redirect${location.hash}`;

class Link {
  /** The master's streams broke and are being opened again. */
  lost = $state(false);
  /** What the server said, when it said anything; 307 means that another master leads. */
  refusal = $state.raw<Refusal | null>(null);
  /** Counts up whenever everything came back, so that what was read once can be read again. */
  restored = $state(0);

  /** A stream was open at least once. */
  #held = false;
  #broken = new Set<symbol>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  broke(source: symbol, refusal: Refusal | null) {
    // Whoever opens a master that does not lead wants the one that does. One that was being watched when the lead moved
    // stays on screen, with a link: what it shows may matter just then.
    if (refusal?.status === 307 && !this.#held) location.replace(toLeader());
    this.#broken.add(source);
    this.refusal = refusal;
    this.#timer ??= setTimeout(() => (this.lost = true), SHOWN_AFTER_MS);
  }

  /** The source is open. */
  holds(source: symbol) {
    this.#held = true;
    this.leaves(source);
  }

  /** Nobody waits for the source any more. */
  leaves(source: symbol) {
    if (!this.#broken.delete(source) || this.#broken.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.lost) this.restored += 1;
    this.lost = false;
    this.refusal = null;
  }
}

export const link = new Link();
