/** Many reasons to read something again, few reads. */

/**
 * Returns a function that runs `read` soon. However often it is called, at most one read is under way and at most one
 * more is waiting, and two reads start no closer than `gap` milliseconds; a call is always followed by a read that started
 * after it. Errors are the business of `read`.
 */
export function coalesce(read: () => Promise<void>, gap: number): { (): void; stop(): void } {
  let running = false;
  let wanted = false;
  let stopped = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = Number.NEGATIVE_INFINITY;

  const start = () => {
    timer = undefined;
    if (stopped) return;
    running = true;
    wanted = false;
    last = performance.now();
    void read().finally(() => {
      running = false;
      if (wanted) schedule();
    });
  };
  const schedule = () => {
    timer ??= setTimeout(start, Math.max(0, last + gap - performance.now()));
  };
  const call = () => {
    wanted = true;
    if (!running && !stopped) schedule();
  };
  call.stop = () => {
    stopped = true;
    clearTimeout(timer);
  };
  return call;
}
