import { stat } from "node:fs/promises";

interface FollowFile {
  path: string;
  everyMs: number;
  onChange: () => Promise<unknown>;
}

/**
 * Looks at the file every few seconds: notices of the kernel do not come for folders of containers and networks. What changed is
 * read when it has been the same for two looks, so that a file that is still being written is not taken for a short one.
 */
export function followFile({ path, everyMs, onChange }: FollowFile): { close(): Promise<void> } {
  let known: string | undefined;
  let seen: string | undefined;
  let looking: Promise<void> = Promise.resolve();
  async function look(): Promise<void> {
    const mark = await markOf(path);
    known ??= mark;
    if (mark !== known && mark === seen) {
      known = mark;
      await onChange();
    }
    seen = mark;
  }
  let isLooking = false;
  const timer = setInterval(() => {
    if (isLooking) return;
    isLooking = true;
    looking = look().finally(() => {
      isLooking = false;
    });
  }, everyMs);
  // From now on, not from the first look on: what changes until then is a change.
  looking = look();
  return {
    close: async () => {
      clearInterval(timer);
      await looking;
    },
  };
}

async function markOf(path: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(path);
    return `${mtimeMs} ${size} ${ino}`;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}
