/** Numbers with units, times and names as people read them. */

const trim = (value: number, digits: number) => value.toLocaleString('en', { maximumFractionDigits: digits });

/** A count: 12,345. */
export const count = (value: number | null | undefined) => (value == null ? '–' : value.toLocaleString('en'));

/** CPUs: at most three decimals below ten, fewer above. */
export const cpus = (value: number | null | undefined) => (value == null ? '–' : trim(value, value < 10 ? 3 : 1));

/** MiB as a size with a unit: 128 MiB, 1.5 GiB, 2 TiB. */
export const mebibytes = (value: number | null | undefined) => (value == null ? '–' : bytes(value * 1024 * 1024));

/** Bytes as a size with a unit: 0 B, 512 B, 1.5 KiB. */
export function bytes(value: number | null | undefined): string {
  if (value == null) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${trim(value, value < 10 && unit > 0 ? 2 : value < 100 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}

/** A part of a whole in per cent; nothing of nothing is 0 %. */
export function percent(part: number, whole: number): string {
  if (whole <= 0) return '0 %';
  const value = (part / whole) * 100;
  return `${trim(value, value > 0 && value < 10 ? 1 : 0)} %`;
}

/** A length of time in its two largest units: 3 s, 4 min 10 s, 2 h, 5 d 3 h. */
export function duration(milliseconds: number): string {
  let rest = Math.max(0, Math.floor(milliseconds / 1000));
  const parts: string[] = [];
  for (const [unit, size] of [['d', 86_400], ['h', 3_600], ['min', 60], ['s', 1]] as const) {
    const whole = Math.floor(rest / size);
    rest -= whole * size;
    if (whole > 0) parts.push(`${whole} ${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.length > 0 ? parts.join(' ') : '0 s';
}

/** A moment as seen from `now`: "just now", "12 s ago", "in 3 min". Only the largest unit: it stands in dense tables. */
export function relative(moment: number | null | undefined, now: number): string {
  if (!moment) return '–';
  const distance = now - moment;
  if (Math.abs(distance) < 1500) return 'just now';
  const [largest, unit] = duration(Math.abs(distance)).split(' ');
  return distance > 0 ? `${largest} ${unit} ago` : `in ${largest} ${unit}`;
}

/** A moment in full, in the reader's time zone and to the millisecond. */
export function absolute(moment: number | null | undefined): string {
  if (!moment) return '';
  const date = new Date(moment);
  const two = (value: number, width = 2) => String(value).padStart(width, '0');
  const zone = -date.getTimezoneOffset();
  const offset = `${zone < 0 ? '-' : '+'}${two(Math.floor(Math.abs(zone) / 60))}:${two(Math.abs(zone) % 60)}`;
  return (
    `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${two(date.getMilliseconds(), 3)} ${offset}`
  );
}

/** TASK_RUNNING as "running", TASK_GONE_BY_OPERATOR as "gone by operator". */
export const stateName = (state: string) => state.replace(/^TASK_/, '').replaceAll('_', ' ').toLowerCase();

/** A framework that is connected and asks for no offers is inactive to the API; a person would take that for broken. */
export const frameworkState = (state: string) => (state === 'inactive' ? 'suppressed' : stateName(state));

/** REASON_CONTAINER_LIMITATION_MEMORY as "container limitation memory". */
export const reasonName = (reason: string) => reason.replace(/^REASON_/, '').replaceAll('_', ' ').toLowerCase();

/** "InsufficientCpus" as "insufficient cpus"; what is spelled out already stays. */
export const spaced = (name: string) =>
  name.includes(' ') ? name : name.replace(/_/g, ' ').replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase();

/** The end of a long id, which is the part that tells two apart. */
export const shortId = (id: string, keep = 13) => (id.length <= keep + 3 ? id : `…${id.slice(-keep)}`);

/** "1 task", "2 tasks". */
export const plural = (value: number, one: string, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** The colour a state is shown in. */
export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'idle';

const TONES: Record<string, Tone> = {
  running: 'good', active: 'good', healthy: 'good', finished: 'idle', completed: 'idle', inactive: 'idle', suspended: 'idle', suppressed: 'good',
  staging: 'busy', starting: 'busy', deploying: 'busy', killing: 'warn', disconnected: 'warn', delayed: 'warn', waiting: 'warn',
  unreachable: 'bad', killed: 'idle', draining: 'warn', drained: 'idle', deactivated: 'idle', done: 'good', cancelled: 'idle', unknown: 'warn', failed: 'bad', lost: 'bad', error: 'bad',
  dropped: 'bad', gone: 'bad', 'gone by operator': 'bad', unhealthy: 'bad',
};

/** The tone of a state of a task, agent, framework or app, whatever its spelling. */
export const tone = (state: string): Tone => TONES[stateName(state)] ?? 'idle';
