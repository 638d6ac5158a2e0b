//! The part of `libz-ng-sys` that `flate2` calls, served by the memory-safe `libz-rs-sys`.
//!
//! Only the stream's type differs: here the allocator's functions are not optional, as in `libz-ng-sys`.
#![no_std]
#![allow(non_camel_case_types, non_snake_case, clippy::missing_safety_doc)]

use core::ffi::{c_char, c_int, c_uint, c_ulong, c_void};

pub use libz_rs_sys::{
    Bytef, Z_BLOCK, Z_BUF_ERROR, Z_DATA_ERROR, Z_DEFAULT_STRATEGY, Z_DEFLATED, Z_FINISH, Z_FULL_FLUSH, Z_MEM_ERROR,
    Z_NEED_DICT, Z_NO_FLUSH, Z_OK, Z_PARTIAL_FLUSH, Z_STREAM_END, Z_STREAM_ERROR, Z_SYNC_FLUSH, uInt, zlibVersion,
};

/// Same layout as `libz_rs_sys::z_stream`: a function pointer and an `Option` of one are alike in memory.
#[repr(C)]
pub struct z_stream {
    pub next_in: *mut Bytef,
    pub avail_in: uInt,
    pub total_in: c_ulong,
    pub next_out: *mut Bytef,
    pub avail_out: uInt,
    pub total_out: c_ulong,
    pub msg: *mut c_char,
    pub state: *mut internal_state,
    pub zalloc: extern "C" fn(*mut c_void, uInt, uInt) -> *mut c_void,
    pub zfree: extern "C" fn(*mut c_void, *mut c_void),
    pub opaque: *mut c_void,
    pub data_type: c_int,
    pub adler: c_ulong,
    pub reserved: c_ulong,
}

/// Opaque.
pub enum internal_state {}

const _: () = assert!(size_of::<z_stream>() == size_of::<libz_rs_sys::z_stream>());

macro_rules! forward {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => {
        $(
            /// As in zlib's manual.
            pub unsafe extern "C" fn $name(stream: *mut z_stream $(, $arg: $type)*) -> c_int {
                // SAFETY: the layouts are equal, and the caller upholds zlib's contract.
                unsafe { libz_rs_sys::$name(stream.cast() $(, $arg)*) }
            }
        )*
    };
}

forward! {
    deflate(flush: c_int);
    deflateEnd();
    deflateReset();
    deflateParams(level: c_int, strategy: c_int);
    deflateSetDictionary(dictionary: *const Bytef, length: c_uint);
    deflateInit2_(level: c_int, method: c_int, window: c_int, memory: c_int, strategy: c_int, version: *const c_char, size: c_int);
    inflate(flush: c_int);
    inflateEnd();
    inflateReset2(window: c_int);
    inflateSetDictionary(dictionary: *const Bytef, length: c_uint);
    inflateInit2_(window: c_int, version: *const c_char, size: c_int);
}
