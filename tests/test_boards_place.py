"""The longest path by the names of its signals."""

from bitfold.boards.place import summary


def step(delay, cell, net=None):
    return {"delay": delay, "to": {"cell": cell}} | ({"net": net} if net else {})


def test_a_path_is_named_after_its_signals():
    path = [
        step(0.5, "a.window.valid_TRELLIS_FF_Q"),
        step(1.0, "a.window.move_LUT4_Z", "a.window.valid"),
        step(0.25, "a.window.move_LUT4_Z"),
        step(1.0, "a.window.y[3]_CCU2C_S0$CCU2_COMB1", "a.window.move"),
        step(0.5, "a.window.y[3]_CCU2C_S0$CCU2_COMB1"),
        step(0.25, "a.window.y[3]_TRELLIS_FF_Q", "a.window.y[3]_TRELLIS_FF_Q_DI"),
    ]
    assert summary(path) == ("1.50 ns a.window.valid", "2.75 ns a.window.move", "3.50 ns a.window.y[3]")


def test_what_has_no_name_belongs_to_the_one_before():
    path = [step(0.5, "b_SB_DFF_Q"), step(0.5, "$nextpnr_LC_1"), step(0.5, "c_SB_LUT4_O", "c.$12")]
    assert summary(path) == ("1.00 ns b", "1.50 ns c")
    assert summary([]) == ()
