//! Tables in files that processes share, and files that are none.

use super::*;

#[test]
fn two_openings_are_one_table() {
    let folder = folder();
    let path = folder.path().join("users.table");
    let first = Table::open(&path, "users", &spec(10)).unwrap();
    assert!(first.created);
    let second = Table::open(&path, "users", &spec(10)).unwrap();
    assert!(!second.created);
    let third = Table::attach(&path).unwrap();
    first.table.add_int(b"a", ID, 1).unwrap();
    second.table.add_int(b"a", ID, 1).unwrap();
    assert_eq!(third.add_int(b"a", ID, 1).unwrap(), 3);
    assert_eq!((third.name(), third.spec()), ("users", &spec(10)));
    let Err(TableError::Mismatch { difference }) = Table::open(&path, "users", &spec(11)) else {
        panic!("another size")
    };
    assert_eq!(difference, "`size` is 10, not 11");
    assert_eq!(
        std::fs::metadata(&path)
            .map(|meta| std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777)
            .unwrap(),
        0o600
    );
}

#[test]
fn a_file_that_nobody_uses_is_replaced_and_its_rows_handed_out() {
    let folder = folder();
    let path = folder.path().join("users.table");
    drop(
        Table::open(&path, "users", &spec(10))
            .unwrap()
            .table
            .add_int(b"a", ID, 5),
    );
    let Opened {
        table,
        previous,
        created,
    } = Table::open(&path, "users", &spec(20)).unwrap();
    assert!(created);
    assert_eq!(table.len(), 0);
    assert_eq!(previous.unwrap().get_word(b"a", ID).unwrap(), Some(5));
}

#[test]
fn what_is_no_table_is_refused_and_stays() {
    let folder = folder();
    let path = folder.path().join("users.table");
    std::fs::write(&path, [7; 9000]).unwrap();
    assert!(matches!(
        Table::open(&path, "users", &spec(10)),
        Err(TableError::File {
            fault: FileFault::Foreign,
            ..
        })
    ));
    assert!(matches!(
        Table::attach(&path),
        Err(TableError::File {
            fault: FileFault::Foreign,
            ..
        })
    ));
    assert_eq!(std::fs::read(&path).unwrap(), [7; 9000]);
    assert!(matches!(
        Table::attach(folder.path()),
        Err(TableError::System { .. })
    ));
    assert!(matches!(
        Table::attach(&folder.path().join("none")),
        Err(TableError::System { .. })
    ));
}

#[test]
fn a_file_cut_anywhere_or_with_another_header_is_refused() {
    let folder = folder();
    let path = folder.path().join("users.table");
    let kept = Table::open(&path, "users", &spec(10)).unwrap();
    let whole = std::fs::read(&path).unwrap();
    drop(kept);
    for len in (0..whole.len()).step_by(509).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..len]).unwrap();
        assert!(Table::attach(&path).is_err(), "cut to {len} bytes");
    }
    let described = header::SPEC * 8 + 120;
    for byte in (0..16)
        .chain(header::SPEC_BYTES * 8..header::SPEC_BYTES * 8 + 16)
        .chain(header::SPEC * 8..described)
    {
        let mut bent = whole.clone();
        bent[byte] ^= 0x11;
        std::fs::write(&path, &bent).unwrap();
        let attached = Table::attach(&path);
        // The upper half of the version's word is for other readers.
        assert!(attached.is_err() || (12..16).contains(&byte), "byte {byte}");
    }
    std::fs::write(&path, &whole).unwrap();
    assert!(Table::attach(&path).is_ok());
}
