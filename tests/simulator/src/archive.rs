//! Stands for the codec: a payload is the number of a description that was put here, so bytes survive a crash and what
//! was written is what is read.

use std::sync::Arc;

use chapada_model::{ExecutorDescription, FrameworkDescription, Payload, TaskDescription};

/// Descriptions by number.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    tasks: Vec<Arc<TaskDescription>>,
    frameworks: Vec<Arc<FrameworkDescription>>,
    executors: Vec<ExecutorDescription>,
}

fn payload(index: usize) -> Payload {
    Payload::from((index as u64).to_le_bytes().to_vec())
}

fn index(payload: &Payload) -> usize {
    let bytes = payload.as_bytes().try_into().expect("this archive made the payload");
    usize::try_from(u64::from_le_bytes(bytes)).expect("it was a usize")
}

impl Archive {
    pub(crate) fn put_task(&mut self, task: TaskDescription) -> Payload {
        self.tasks.push(Arc::new(task));
        payload(self.tasks.len() - 1)
    }

    pub(crate) fn task(&self, payload: &Payload) -> Arc<TaskDescription> {
        self.tasks[index(payload)].clone()
    }

    pub(crate) fn put_executor(&mut self, executor: ExecutorDescription) -> Payload {
        self.executors.push(executor);
        payload(self.executors.len() - 1)
    }

    pub(crate) fn executor(&self, payload: &Payload) -> ExecutorDescription {
        self.executors[index(payload)].clone()
    }

    /// The same description gets the same payload.
    pub(crate) fn put_framework(&mut self, framework: &Arc<FrameworkDescription>) -> Payload {
        let known = self.frameworks.iter().rposition(|known| known == framework);
        payload(known.unwrap_or_else(|| {
            self.frameworks.push(framework.clone());
            self.frameworks.len() - 1
        }))
    }

    pub(crate) fn framework(&self, payload: &Payload) -> Arc<FrameworkDescription> {
        self.frameworks[index(payload)].clone()
    }
}
