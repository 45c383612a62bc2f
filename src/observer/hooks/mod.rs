//! The hooks, by family. Each has the name and the arguments of the function that it stands before.

/// Defines hooks: `fn name(arguments) -> result |original| { … }`, where `original` is the function hooked.
macro_rules! hooks {
    ($(fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $result:ty |$original:ident| $body:block)*) => { $(
        #[cfg_attr(hopwatch_observer, unsafe(no_mangle))]
        pub(crate) unsafe extern "C" fn $name($($arg: $type),*) -> $result {
            // SAFETY: `$original` has this function's own type, and the caller keeps its contract.
            unsafe {
                let $original = real!($name: unsafe extern "C" fn($($type),*) -> $result);
                $body
            }
        }
    )* };
}

mod exec;
mod file;
mod net;
mod resolve;
#[cfg_attr(not(hopwatch_observer), expect(non_snake_case, reason = "the names are those of OpenSSL"))]
mod tls;
mod transfer;
mod wait;
