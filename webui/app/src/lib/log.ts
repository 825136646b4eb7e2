/** The part of a file that the log view holds: a window that grows at its end and is cut at its start. */

export interface Block {
  /** Where this block starts in the file, in bytes; also its identity. */
  at: number;
  text: string;
}

export interface LogWindow {
  blocks: Block[];
  /** Offset in bytes of the first byte held. */
  start: number;
  /** Offset in bytes after the last one: where following continues. */
  end: number;
}

/** Blocks are the unit of redrawing: only the last one changes when a line arrives. */
const BLOCK_CHARS = 16 * 1024;
/** What a browser draws without effort; older lines are a click away in the file itself. */
const KEPT_CHARS = 1024 * 1024;

const encoder = new TextEncoder();
export const byteLength = (text: string) => encoder.encode(text).length;

export const emptyLog = (): LogWindow => ({ blocks: [], start: 0, end: 0 });

/**
 * Adds what was read at `offset`. A piece that overlaps what is held (a stream that was resumed) adds only its new
 * part; a piece from before the window means that the file was truncated, and starts afresh.
 */
export function append(log: LogWindow, offset: number, data: string): LogWindow {
  if (data === '') return log;
  const after = offset + byteLength(data);
  if (log.blocks.length === 0) return { blocks: [{ at: offset, text: data }], start: offset, end: after };
  if (offset < log.start || after < log.start) return { blocks: [{ at: offset, text: data }], start: offset, end: after };
  if (after <= log.end) return log;
  const fresh = offset < log.end ? dropBytes(data, log.end - offset) : data;
  const at = Math.max(offset, log.end);
  const blocks = [...log.blocks];
  const last = blocks[blocks.length - 1] as Block;
  if (last.text.length + fresh.length <= BLOCK_CHARS && at === log.end) blocks[blocks.length - 1] = { at: last.at, text: last.text + fresh };
  else blocks.push({ at, text: fresh });
  return cut({ blocks, start: log.start, end: after });
}

/** Puts what was read just before the window in front of it. The caller asked for it, so nothing is cut. */
export function prepend(log: LogWindow, offset: number, data: string): LogWindow {
  if (data === '' || offset >= log.start) return log;
  const whole = offset + byteLength(data) > log.start ? keepBytes(data, log.start - offset) : data;
  return { blocks: [{ at: offset, text: whole }, ...log.blocks], start: offset, end: log.end };
}

function cut(log: LogWindow): LogWindow {
  let held = log.blocks.reduce((sum, block) => sum + block.text.length, 0);
  const blocks = [...log.blocks];
  while (held > KEPT_CHARS && blocks.length > 1) held -= (blocks.shift() as Block).text.length;
  return { blocks, start: (blocks[0] as Block).at, end: log.end };
}

const decoder = new TextDecoder();
const dropBytes = (text: string, bytes: number) => decoder.decode(encoder.encode(text).slice(bytes));
const keepBytes = (text: string, bytes: number) => decoder.decode(encoder.encode(text).slice(0, bytes));

const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])|[\u0000-\u0008\u000b\u000c\u000e-\u001a\u001c-\u001f\u007f]/g;

/** Takes out colour codes and other control sequences: a log line shows as text and does nothing else. */
export const plain = (text: string) => text.replace(/\r\n/g, '\n').replace(ESCAPES, '');
