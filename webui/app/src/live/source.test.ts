import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

class FakeSource extends EventTarget {
  static opened: FakeSource[] = [];
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  closed = false;
  constructor(readonly url: string) {
    super();
    FakeSource.opened.push(this);
  }
  close() {
    this.closed = true;
  }
  say(kind: string, data: string) {
    this.dispatchEvent(new MessageEvent(kind, { data }));
  }
}

const latest = () => FakeSource.opened[FakeSource.opened.length - 1] as FakeSource;

describe('a source', () => {
  let answer: () => Promise<Response>;

  beforeEach(() => {
    vi.useFakeTimers();
    FakeSource.opened = [];
    answer = () => Promise.reject(new TypeError('no connection'));
    vi.stubGlobal('EventSource', FakeSource);
    vi.stubGlobal('document', Object.assign(new EventTarget(), { visibilityState: 'visible' }));
    vi.stubGlobal('window', new EventTarget());
    vi.stubGlobal('fetch', () => answer());
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  const open = async (refused?: (status: number, message: string) => void) => {
    const { openSource } = await import('./source');
    const heard: string[] = [];
    let offset = 0;
    const close = openSource({
      url: () => `/follow?offset=${offset}`,
      probe: () => '/read',
      on: { page: (data) => { heard.push(data); offset += data.length; } },
      ...(refused ? { refused } : {}),
    });
    return { heard, close };
  };

  it('comes back after a cut and asks for what it has not had', async () => {
    const { heard, close } = await open();
    latest().onopen?.();
    latest().say('page', 'one');
    latest().onerror?.();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(FakeSource.opened.length).toBe(2);
    expect(latest().url).toBe('/follow?offset=3');
    latest().say('page', 'two');
    expect(heard).toEqual(['one', 'two']);
    close();
  });

  it('tries again as long as the server is gone, more and more slowly', async () => {
    const { close } = await open();
    for (let second = 0; second < 60; second += 1) {
      if (!latest().closed) latest().onerror?.();
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(FakeSource.opened.length).toBeGreaterThan(15);
    expect(FakeSource.opened.length).toBeLessThan(40);
    close();
  });

  it('takes a refusal as an answer', async () => {
    answer = () => Promise.resolve(new Response('{"message":"no such task"}', { status: 404 }));
    const refused = vi.fn();
    const { close } = await open(refused);
    latest().onerror?.();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(refused).toHaveBeenCalledExactlyOnceWith(404, 'no such task');
    expect(FakeSource.opened.length).toBe(1);
    close();
  });

  it('gives its connection back while nobody looks', async () => {
    const { close } = await open();
    latest().onopen?.();
    Object.assign(document, { visibilityState: 'hidden' });
    document.dispatchEvent(new Event('visibilitychange'));
    await vi.advanceTimersByTimeAsync(30_000);
    expect(latest().closed).toBe(true);
    Object.assign(document, { visibilityState: 'visible' });
    document.dispatchEvent(new Event('visibilitychange'));
    expect(FakeSource.opened.length).toBe(2);
    expect(latest().closed).toBe(false);
    close();
    expect(latest().closed).toBe(true);
  });

  it('stays closed once closed', async () => {
    const { close } = await open();
    latest().onerror?.();
    close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(FakeSource.opened.length).toBe(1);
  });
});
