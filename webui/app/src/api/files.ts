/** A task's sandbox, relayed by the master from the agent. */

import type { SandboxFile } from './cluster';
import { messageOf } from '../live/source';

export class Sandbox {
  private readonly base: string;

  constructor(framework: string, task: string) {
    this.base = `/query/v1/tasks/${encodeURIComponent(framework)}/${encodeURIComponent(task)}/files`;
  }

  /** A stream of what the file holds from `offset` on; a negative one counts from the end. */
  followUrl = (path: string, offset: number) => `${this.base}/follow?path=${encodeURIComponent(path)}&offset=${offset}`;

  downloadUrl = (path: string) => `${this.base}/download?path=${encodeURIComponent(path)}`;

  readUrl = (path: string, offset: number, length: number) =>
    `${this.base}/read?path=${encodeURIComponent(path)}&offset=${offset}&length=${length}`;

  browse = (path: string) => get<SandboxFile[]>(`${this.base}/browse?path=${encodeURIComponent(path)}`);

  read = (path: string, offset: number, length: number) => get<{ data: string; offset: number }>(this.readUrl(path, offset, length));
}

async function get<T>(url: string): Promise<T> {
  const answer = await fetch(url, { headers: { accept: 'application/json' } });
  if (!answer.ok) throw new Error(messageOf(await answer.text()) || `the master answered ${answer.status}`);
  return (await answer.json()) as T;
}
