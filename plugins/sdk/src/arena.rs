//! Memory for one run.
//!
//! Every run begins with fresh memory and ends by throwing it away. What costs is growing it: the kernel then changes
//! the process's memory map, where all threads wait for each other. So blocks come from an array inside the initial
//! memory, in size classes with a list of free ones each, and only a plugin that needs more than the array grows.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr::null_mut;

/// Bytes inside the initial memory.
pub(crate) const SIZE: usize = 512 << 10;
/// What memory grows by at least, when it has to.
const GROWTH: usize = 256 << 10;
const PAGE: usize = 64 << 10;
/// Every block begins at a multiple of this.
const ALIGN: usize = 16;
/// 16, 32 ... 512, then four classes for each doubling up to 2 GiB.
const CLASSES: usize = 32 + 4 * 22;

struct State {
    /// Where the next new block begins, and where the room for it ends. 0: nothing was asked for yet.
    top: usize,
    end: usize,
    /// The first free block of each class; it holds the address of the next.
    free: [usize; CLASSES],
}

#[repr(align(16))]
pub(crate) struct Arena {
    room: UnsafeCell<[u8; SIZE]>,
    state: UnsafeCell<State>,
}

// SAFETY: a plugin has one thread; the tests below use an arena each.
unsafe impl Sync for Arena {}

/// The class of a size, and the size that blocks of this class really have.
fn class(size: usize) -> Option<(usize, usize)> {
    if size <= 512 {
        let class = size.max(1).div_ceil(16) - 1;
        return Some((class, (class + 1) * 16));
    }
    if size > 1 << 30 {
        return None;
    }
    // A quarter of the doubling that the size falls into.
    let shift = (size - 1).ilog2() - 2;
    let quarter = (size - 1) >> shift;
    Some((32 + (shift as usize - 7) * 4 + quarter - 4, (quarter + 1) << shift))
}

/// More memory: where it begins, or none.
fn grow(bytes: usize) -> Option<usize> {
    #[cfg(target_arch = "wasm32")]
    {
        let old = core::arch::wasm32::memory_grow(0, bytes / PAGE);
        (old != usize::MAX).then_some(old * PAGE)
    }
    #[cfg(not(target_arch = "wasm32"))]
    {
        let layout = Layout::from_size_align(bytes, PAGE).ok()?;
        // SAFETY: the size is not zero.
        let start = unsafe { std::alloc::System.alloc(layout) };
        (!start.is_null()).then_some(start as usize)
    }
}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self {
            room: UnsafeCell::new([0; SIZE]),
            state: UnsafeCell::new(State { top: 0, end: 0, free: [0; CLASSES] }),
        }
    }

    /// New room of `size` bytes at the end.
    fn take(&self, state: &mut State, size: usize, align: usize) -> Option<usize> {
        if state.top == 0 {
            state.top = self.room.get() as usize;
            state.end = state.top + SIZE;
        }
        let start = state.top.checked_next_multiple_of(align)?;
        let end = start.checked_add(size)?;
        if end <= state.end {
            state.top = end;
            return Some(start);
        }
        let least = size.checked_add(align)?.checked_next_multiple_of(PAGE)?;
        let (bytes, begin) = match grow(least.max(GROWTH)) {
            Some(begin) => (least.max(GROWTH), begin),
            // Near the limit a little may still be had.
            None => (least, grow(least)?),
        };
        if begin != state.end {
            state.top = begin;
        }
        state.end = begin + bytes;
        let start = state.top.checked_next_multiple_of(align)?;
        state.top = start + size;
        Some(start)
    }
}

// SAFETY: blocks do not overlap: they are cut off one after another, and a freed one is given out again once.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread, and nothing below calls back.
        let state = unsafe { &mut *self.state.get() };
        let Some((class, size)) = class(layout.size()) else { return null_mut() };
        let first = state.free[class];
        if first != 0 && layout.align() <= ALIGN {
            // SAFETY: a free block is ours and holds the next one's address.
            state.free[class] = unsafe { *(first as *const usize) };
            return first as *mut u8;
        }
        self.take(state, size, layout.align().max(ALIGN)).map_or(null_mut(), |start| start as *mut u8)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        let state = unsafe { &mut *self.state.get() };
        let Some((class, size)) = class(layout.size()) else { return };
        if block as usize + size == state.top {
            state.top = block as usize;
            return;
        }
        // SAFETY: nobody else has the block any more, and it is large enough for an address.
        unsafe { *(block as *mut usize) = state.free[class] };
        state.free[class] = block as usize;
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        // SAFETY: as above.
        let state = unsafe { &mut *self.state.get() };
        let (Some((_, old_size)), Some((_, new_size))) = (class(layout.size()), class(new)) else {
            return null_mut();
        };
        let start = block as usize;
        if old_size == new_size {
            return block;
        }
        // The last block grows and shrinks where it is: a text that is being written, mostly.
        if start + old_size == state.top && start + new_size <= state.end {
            state.top = start + new_size;
            return block;
        }
        // SAFETY: the caller's promise about `layout` holds for the new size too.
        unsafe {
            let to = self.alloc(Layout::from_size_align_unchecked(new, layout.align()));
            if !to.is_null() {
                std::ptr::copy_nonoverlapping(block, to, layout.size().min(new));
                self.dealloc(block, layout);
            }
            to
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap()
    }

    #[test]
    fn classes_hold_what_they_are_for() {
        let mut last = 0;
        for size in (1..70_000).chain([1 << 20, (1 << 20) + 1, 1 << 30]) {
            let (class, room) = class(size).unwrap();
            assert!(room >= size && class < CLASSES && class >= last, "{size}");
            assert!(room < size + size / 4 + 16, "{size} takes {room}");
            last = class;
        }
        assert_eq!(class((1 << 30) + 1), None);
    }

    #[test]
    fn the_last_block_grows_in_place_and_freed_ones_are_used_again() {
        let arena = Box::new(Arena::new());
        // SAFETY: layouts are those of the blocks.
        unsafe {
            let first = arena.alloc(layout(100));
            let text = arena.alloc(layout(10));
            let grown = arena.realloc(text, layout(10), 5000);
            assert_eq!(text, grown);
            arena.dealloc(first, layout(100));
            assert_eq!(arena.alloc(layout(97)), first);
            arena.dealloc(grown, layout(5000));
            assert_eq!(arena.alloc(layout(3)), text);
            assert_eq!(arena.alloc(Layout::from_size_align(8, 256).unwrap()) as usize % 256, 0);
            assert!(arena.alloc(layout(usize::MAX / 4)).is_null());
        }
    }

    /// Many blocks at a time, far more than the array holds: nobody's bytes change.
    #[test]
    fn blocks_keep_their_bytes() {
        let (arena, mut random) = (Box::new(Arena::new()), Random::new(1));
        let mut blocks: Vec<(*mut u8, usize, u8)> = Vec::new();
        for n in 0..20_000_u32 {
            let fill = n as u8;
            // SAFETY: each block is used with the layout it was made with, and only inside.
            unsafe {
                if blocks.len() > 200 {
                    let (block, size, was) = blocks.swap_remove(random.below(200) as usize);
                    assert!(std::slice::from_raw_parts(block, size).iter().all(|byte| *byte == was));
                    let new = 1 + random.below(9000) as usize;
                    let block = arena.realloc(block, layout(size), new);
                    assert!(std::slice::from_raw_parts(block, size.min(new)).iter().all(|byte| *byte == was));
                    arena.dealloc(block, layout(new));
                }
                let size = 1 + random.below(if n % 50 == 0 { 100_000 } else { 700 }) as usize;
                let block = arena.alloc(layout(size));
                assert!(!block.is_null());
                block.write_bytes(fill, size);
                blocks.push((block, size, fill));
            }
        }
    }
}
