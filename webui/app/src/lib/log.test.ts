import { describe, expect, it } from 'vitest';
import { append, byteLength, emptyLog, plain, prepend, type LogWindow } from './log';

const text = (log: LogWindow) => log.blocks.map((block) => block.text).join('');

describe('a log window', () => {
  it('grows at its end and knows where to go on', () => {
    const log = append(append(emptyLog(), 100, 'one\n'), 104, 'two\n');
    expect(text(log)).toBe('one\ntwo\n');
    expect([log.start, log.end]).toEqual([100, 108]);
  });

  it('shows nothing twice when a stream is resumed', () => {
    const log = append(append(emptyLog(), 0, 'one\ntwo\n'), 4, 'two\nthree\n');
    expect(text(log)).toBe('one\ntwo\nthree\n');
    expect(text(append(log, 4, 'two\n'))).toBe('one\ntwo\nthree\n');
  });

  it('counts bytes, not characters', () => {
    const log = append(emptyLog(), 0, 'größe\n');
    expect(log.end).toBe(8);
    expect(text(append(log, 0, 'größe\nx'))).toBe('größe\nx');
  });

  it('starts afresh when the file was truncated', () => {
    const log = append(append(emptyLog(), 5000, 'old\n'), 0, 'new\n');
    expect(text(log)).toBe('new\n');
    expect(log.end).toBe(4);
  });

  it('forgets its oldest part, never its newest', () => {
    let log = emptyLog();
    const line = `${'x'.repeat(9_999)}\n`;
    for (let n = 0; n < 300; n += 1) log = append(log, log.end, line);
    expect(text(log).length).toBeLessThanOrEqual(1024 * 1024);
    expect(log.end).toBe(3_000_000);
    expect(log.start + byteLength(text(log))).toBe(log.end);
  });

  it('takes earlier lines in front', () => {
    const log = prepend(append(emptyLog(), 8, 'three\n'), 0, 'one\ntwo\nth');
    expect(text(log)).toBe('one\ntwo\nthree\n');
    expect(log.start).toBe(0);
  });
});

describe('plain text', () => {
  it('has no control sequences left', () => {
    expect(plain('\u001b[1;31merror\u001b[0m: \u001b]0;title\u0007done\r\n\tok\u0000')).toBe('error: done\n\tok');
  });
});
