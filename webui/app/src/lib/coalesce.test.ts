import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { coalesce } from './coalesce';

describe('coalesce', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const counted = (took: number) => {
    const reads: number[] = [];
    let running = 0;
    const read = async () => {
      running += 1;
      expect(running).toBe(1);
      reads.push(performance.now());
      await new Promise((done) => setTimeout(done, took));
      running -= 1;
    };
    return { reads, read };
  };

  it('turns a burst into one read now and one after it', async () => {
    const { reads, read } = counted(50);
    const again = coalesce(read, 100);
    again();
    await vi.advanceTimersByTimeAsync(10);
    for (let n = 0; n < 500; n += 1) again();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(reads.length).toBe(2);
    expect((reads[1] as number) - (reads[0] as number)).toBeGreaterThanOrEqual(100);
  });

  it('never runs two reads at once, however slow they are', async () => {
    const { reads, read } = counted(700);
    const again = coalesce(read, 100);
    for (let n = 0; n < 30; n += 1) {
      again();
      await vi.advanceTimersByTimeAsync(100);
    }
    await vi.advanceTimersByTimeAsync(2_000);
    expect(reads.length).toBeGreaterThan(3);
    expect(reads.length).toBeLessThan(8);
  });

  it('reads no more once stopped', async () => {
    const { reads, read } = counted(10);
    const again = coalesce(read, 100);
    again();
    again.stop();
    again();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(reads.length).toBe(0);
  });
});
