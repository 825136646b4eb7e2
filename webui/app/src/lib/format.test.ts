import { describe, expect, it } from 'vitest';
import { absolute, bytes, cpus, duration, mebibytes, percent, plural, reasonName, relative, shortId, spaced, stateName, tone } from './format';

describe('amounts', () => {
  it('carry their unit', () => {
    expect(bytes(0)).toBe('0 B');
    expect(bytes(1023)).toBe('1,023 B');
    expect(bytes(1536)).toBe('1.5 KiB');
    expect(mebibytes(128)).toBe('128 MiB');
    expect(mebibytes(1536)).toBe('1.5 GiB');
    expect(mebibytes(3 * 1024 * 1024)).toBe('3 TiB');
    expect(mebibytes(undefined)).toBe('–');
  });

  it('show thousandths of a cpu but no float noise', () => {
    expect(cpus(0.001)).toBe('0.001');
    expect(cpus(0.1 + 0.2)).toBe('0.3');
    expect(cpus(1234.56)).toBe('1,234.6');
  });

  it('never divide by nothing', () => {
    expect(percent(0, 0)).toBe('0 %');
    expect(percent(1, 3)).toBe('33 %');
    expect(percent(1, 300)).toBe('0.3 %');
  });
});

describe('times', () => {
  const now = Date.UTC(2026, 4, 1, 12, 0, 0);

  it('are told from now in one unit', () => {
    expect(relative(now - 400, now)).toBe('just now');
    expect(relative(now - 12_000, now)).toBe('12 s ago');
    expect(relative(now - 3 * 60_000 - 20_000, now)).toBe('3 min ago');
    expect(relative(now - 26 * 3_600_000, now)).toBe('1 d ago');
    expect(relative(now + 90_000, now)).toBe('in 1 min');
    expect(relative(null, now)).toBe('–');
    expect(relative(0, now)).toBe('–');
  });

  it('last two units', () => {
    expect(duration(0)).toBe('0 s');
    expect(duration(250_000)).toBe('4 min 10 s');
    expect(duration(7_200_000)).toBe('2 h');
    expect(duration(90_061_000)).toBe('1 d 1 h');
    expect(duration(86_405_000)).toBe('1 d');
  });

  it('are told in full with their zone', () => {
    expect(absolute(now)).toMatch(/^2026-05-0[12] \d\d:\d\d:00\.000 [+-]\d\d:\d\d$/);
    expect(absolute(null)).toBe('');
  });
});

describe('names', () => {
  it('lose what every one of them begins with', () => {
    expect(stateName('TASK_GONE_BY_OPERATOR')).toBe('gone by operator');
    expect(reasonName('REASON_CONTAINER_LIMITATION_MEMORY')).toBe('container limitation memory');
    expect(spaced('InsufficientCpus')).toBe('insufficient cpus');
    expect(spaced('no agent fits')).toBe('no agent fits');
  });

  it('have one tone for every spelling of a state', () => {
    expect(tone('TASK_RUNNING')).toBe('good');
    expect(tone('running')).toBe('good');
    expect(tone('TASK_LOST')).toBe('bad');
    expect(tone('a state of next year')).toBe('idle');
  });

  it('are cut at the front, where ids are alike', () => {
    expect(shortId('short')).toBe('short');
    expect(shortId('0123456789-0123456789-01234567-0001')).toBe('…01234567-0001');
    expect(plural(1, 'task')).toBe('1 task');
    expect(plural(1200, 'task')).toBe('1,200 tasks');
  });
});
