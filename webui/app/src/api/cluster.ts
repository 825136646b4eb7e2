/** What the master's read API (`/query/v1`) answers. Times are milliseconds since 1970, memory and disk are MiB. */

export interface Amounts {
  cpus?: number;
  mem?: number;
  disk?: number;
  gpus?: number;
  /** Ranges as Mesos writes them: `[31000-32000]`. */
  ports?: string;
}

export interface Overview {
  cluster: string | null;
  leader: { id: string; hostname: string; port: number } | null;
  version: string;
  epoch: number;
  elected_time: number | null;
  uptime_seconds: number;
  agents: Record<string, number>;
  /** Agents that do not answer and are not given up, because they are many at once; and why. */
  agent_removals?: { held: number; message: string | null };
  frameworks: Record<string, number>;
  tasks: Record<string, number>;
  offers: number;
  resources: Record<string, { total: number; allocated: number; offered: number }>;
}

export interface Agent {
  id: string;
  hostname: string;
  address: string;
  state: string;
  registered: number | null;
  version: string;
  resources: { total: Amounts; allocated: Amounts; offered: Amounts };
  attributes: Record<string, unknown>;
  tasks: number;
  /** An operator said that it is offered to nobody; so is each that is drained. */
  deactivated?: boolean;
  drain?: { state: string; since: number; leave_by: number | null; max_grace_seconds: number | null; mark_gone: boolean; why: string | null } | null;
}

/** Many agents that are drained, some at once. */
export interface Drain {
  id: string;
  state: 'draining' | 'done' | 'cancelled';
  selected_by: string;
  at_once: number;
  since: number;
  ended: number | null;
  deadline_seconds: number | null;
  mark_gone: boolean;
  agents: { waiting: number; draining: number; drained: number; unreachable: number; gone: number; withdrawn: number };
}

export interface Framework {
  id: string;
  name: string;
  user: string;
  principal: string | null;
  roles: string[];
  state: string;
  registered: number | null;
  hostname: string;
  webui_url: string | null;
  resources: { allocated: Amounts; offered: Amounts };
  tasks: number;
  capabilities: string[];
  /** Why the allocator left this framework out, and of how many agents. */
  why?: { reason: string; count: number }[];
}

export interface Offer {
  id: string;
  framework_id: string;
  agent_id: string;
  hostname: string;
  role: string;
  resources: Amounts;
  since: number | null;
}

export interface Role {
  name: string;
  weight: number;
  share: number;
  resources: { allocated: Amounts; offered: Amounts; reserved: Amounts };
  /** What the role and those below are promised, may have at most, and consume of that. */
  quota: { guarantee: Amounts; limit: Amounts; consumed: Amounts };
  frameworks: string[];
}

export interface TaskUpdate {
  state: string;
  timestamp: number | null;
  message?: string | null;
  reason?: string | null;
}

export interface Task {
  id: string;
  framework_id: string;
  framework_name: string;
  agent_id: string;
  hostname: string;
  name: string;
  state: string;
  reason?: string | null;
  message?: string | null;
  healthy?: boolean | null;
  resources: Amounts;
  launched: number | null;
  updated: number | null;
  finished: number | null;
  ports?: number[];
  labels?: Record<string, string>;
  container_id?: string | null;
  statuses?: TaskUpdate[];
}

export interface SandboxFile {
  name: string;
  path: string;
  size: number;
  /** Milliseconds since 1970. */
  mtime: number;
  mode: string;
  dir: boolean;
}

/** Keys by which the master names items of a page in its changes; a task's id is unique only within its framework. */
export const byId = (item: { id: string }) => item.id;
export const byName = (item: { name: string }) => item.name;
export const taskKey = (task: Task) => `${task.framework_id}/${task.id}`;
