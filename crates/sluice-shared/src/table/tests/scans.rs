//! Going through all rows.

use super::*;

#[test]
fn a_scan_goes_on_where_it_broke_off() {
    let table = table(100);
    for number in 0..100_u32 {
        table
            .add_int(
                format!("{}:{number}", if number % 2 == 0 { "even" } else { "odd" }).as_bytes(),
                ID,
                1,
            )
            .unwrap();
    }
    let (mut from, mut seen) = (0, Vec::new());
    while from < table.capacity() {
        let mut left = 7;
        from = table
            .scan(from, b"even:", &mut |row| {
                if left == 0 {
                    return ControlFlow::Break(());
                }
                left -= 1;
                seen.push(row.key.to_vec());
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    seen.sort();
    let mut wanted: Vec<Vec<u8>> = (0..100)
        .step_by(2)
        .map(|number| format!("even:{number}").into_bytes())
        .collect();
    wanted.sort();
    assert_eq!(seen, wanted);
}
